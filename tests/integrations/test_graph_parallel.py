"""Several processes against one."""

import copy
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import (
    CalculationFailed,
    CalculatorSetupError,
    InputError,
    PropertyNotImplementedError,
)
from ase.md.verlet import VelocityVerlet

from ase_symcalc import SymCalc, load_potential
from ase_symcalc.errors import OutsideTrainingWarning
from ase_symcalc.integrations.graph_parallel import GraphParallelCalculator
from tests.tolerances import TIGHT
from tests.zoo import zoo

LONGEST = 120.0
"""s; processes that hang are killed, and whoever waits for them fails"""
PROPERTIES = ("energy", "free_energy", "energies", "forces", "stress", "stresses")


@contextmanager
def started(potential, n_processes):
    with GraphParallelCalculator.start(potential, n_processes, timeout=LONGEST) as calc:
        workers = calc._workers._processes
        timer = threading.Timer(LONGEST, lambda: [worker.kill() for worker in workers])
        timer.start()
        try:
            yield calc
        finally:
            timer.cancel()


@pytest.fixture(scope="class", params=[1, 2, 3])
def calc(request, potential_folder):
    with started(potential_folder, request.param) as calc:
        yield calc


@pytest.fixture
def alone(potential_folder):
    return SymCalc(potential_folder, symmetry="off")


def same(atoms, calc, alone):
    """Also where there are fewer atoms than processes, and none in a slab."""
    names = [n for n in PROPERTIES if "stress" not in n or has_volume(atoms)]
    for name in names:
        np.testing.assert_allclose(
            calc.get_property(name, atoms),
            alone.get_property(name, atoms),
            rtol=0,
            atol=TIGHT,
            err_msg=name,
        )


def has_volume(atoms):
    return atoms.pbc.any() and atoms.cell.volume > 0


def calc_without_atoms(calc):
    calc.reset()
    return calc


class TestAnyNumberOfProcesses:
    def test_all_structures_are_evaluated_as_by_one_process(self, calc, alone):
        assert calc.implemented_properties == SymCalc.implemented_properties
        for atoms in zoo().values():
            same(atoms, calc, alone)

    def test_dynamics_are_the_same(self, calc, alone):
        """Atoms change their owners on the way: the list is made anew again and again."""
        start = bulk("Si", "diamond", a=5.47, cubic=True) * (2, 1, 1)
        start.set_velocities(np.random.default_rng(1).normal(0, 0.06, (len(start), 3)))
        ends = []
        for each in (calc, alone):
            atoms = start.copy()
            atoms.calc = each
            VelocityVerlet(atoms, timestep=2 * units.fs).run(20)
            ends.append(atoms)
        assert abs(ends[0].positions - start.positions).max() > 0.45
        np.testing.assert_allclose(ends[0].positions, ends[1].positions, rtol=0, atol=1e-9)

    def test_energies_alone(self, calc, alone, silicon):
        assert calc.get_potential_energy(silicon) == pytest.approx(
            alone.get_potential_energy(silicon)
        )
        calc.calculate(silicon, ["energy"])
        assert "forces" not in calc.results

    def test_what_has_no_meaning_is_refused_and_the_next_is_welcome(self, calc, alone, silicon):
        with pytest.raises(InputError, match="He"):
            calc.get_potential_energy(Atoms("He", cell=[9] * 3))
        close = silicon.copy()
        close.positions[-1] = close.positions[-2] + [0.01, 0, 0]
        with pytest.raises(InputError, match=r"6 \(Si\) and 7 \(Si\) are 0.01 Å apart"):
            calc.get_potential_energy(close)
        with pytest.raises(PropertyNotImplementedError, match="needs a volume"):
            calc.get_stress(Atoms("Si2", [(0, 0, 0), (2.4, 0, 0)]))
        with pytest.raises(InputError, match="expected atoms"):
            GraphParallelCalculator.calculate(calc_without_atoms(calc))
        same(silicon, calc, alone)

    def test_only_one_can_be_open(self, calc, potential_folder):
        with pytest.raises(InputError, match="in use already"):
            GraphParallelCalculator.start(potential_folder)
        with pytest.raises(InputError, match="close it, and start another"):
            GraphParallelCalculator(potential_folder)

    def test_it_cannot_be_copied(self, calc):
        for copying in (copy.deepcopy, pickle.dumps):
            with pytest.raises(pickle.PicklingError, match="several processes"):
                copying(calc)

    def test_process_0_does_not_serve(self, calc):
        with pytest.raises(InputError, match="the others serve"):
            calc.serve()

    def test_threads_of_the_caller_are_left_alone(self, calc, silicon):
        torch.set_num_threads(2)
        try:
            calc.get_potential_energy(silicon)
            assert torch.get_num_threads() == 2
        finally:
            torch.set_num_threads(1)


def test_unseen_pairs_are_named_once(potential_folder, tmp_path):
    folder = tmp_path / "listed"
    shutil.copytree(potential_folder, folder)
    card = folder / "card.toml"
    lines = card.read_text().replace("pairs = []", 'pairs = ["Ni-Ni", "Mo-Mo"]')
    assert lines != card.read_text()
    card.write_text(lines)
    atoms = zoo()["nimo_rocksalt"]
    with started(folder, 1) as calc:
        with pytest.warns(OutsideTrainingWarning, match="near Mo"):
            calc.get_potential_energy(atoms)
        atoms.rattle(0.01)
        calc.get_potential_energy(atoms)
        assert calc.unseen_pairs == ("Ni-Mo",)


def test_numbers_that_overflow_are_told(potential_folder, silicon):
    potential = load_potential(potential_folder)
    with torch.no_grad():
        potential.model.scale.fill_(np.inf)
    with started(potential, 1) as calc:
        for _ in range(2):
            with pytest.raises(CalculationFailed, match="expected finite numbers"):
                calc.get_forces(silicon)


def test_without_processes_it_says_how_to_start_them(potential_folder):
    with pytest.raises(InputError, match=r"GraphParallelCalculator\.start"):
        GraphParallelCalculator(potential_folder)
    with pytest.raises(InputError, match="at least one process"):
        GraphParallelCalculator.start(potential_folder, 0)


def test_a_process_that_is_killed_ends_the_calculation(potential_folder, silicon):
    with started(potential_folder, 2) as calc:
        (worker,) = calc._workers._processes
        calc.get_potential_energy(silicon)
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
        silicon.rattle(0.01)
        with pytest.raises(CalculationFailed, match="process 1 ended with code -9"):
            calc.get_potential_energy(silicon)
        with pytest.raises(InputError, match="closed"):
            calc.get_potential_energy(silicon)
        assert not Path(calc._workers.settings["folder"]).exists()


def test_a_process_that_cannot_start_is_named(potential_folder, tmp_path):
    folder = tmp_path / "gone"
    shutil.copytree(potential_folder, folder)
    potential = load_potential(folder)
    shutil.rmtree(folder)
    with pytest.raises(
        CalculatorSetupError, match="could not start: process 1: PotentialFileError"
    ):
        GraphParallelCalculator.start(potential, 2)


STOPPED = """
import sys, time
from ase_symcalc.integrations import graph_parallel

def join_group(settings, rank):
    print(settings["folder"], flush=True)
    time.sleep(1000)

graph_parallel.join_group = join_group
graph_parallel.GraphParallelCalculator.start(sys.argv[1], 2)
"""


def test_processes_end_with_the_first_although_they_still_wait_for_it(potential_folder):
    command = [sys.executable, "-c", STOPPED, str(potential_folder)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as first:
        try:
            folder = Path(first.stdout.readline().strip())
            assert (folder / "ready-1").exists()
        finally:
            first.kill()
    end = time.monotonic() + LONGEST
    while folder.exists():  # the other one removes it in the end
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_potential_in_memory_only_is_refused(potential_folder):
    potential = replace(load_potential(potential_folder), folder=None)
    with pytest.raises(CalculatorSetupError, match="save it with save_potential"):
        GraphParallelCalculator.start(potential, 2)


PROGRAM = """
import sys
from datetime import timedelta
import torch.distributed as dist
from ase.build import bulk
from ase.calculators.calculator import CalculationFailed, InputError
from ase_symcalc.integrations.distributed_rows import DistributedRows
from ase_symcalc.integrations.graph_parallel import GraphParallelCalculator

folder, store, rank = sys.argv[1], sys.argv[2], int(sys.argv[3])
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2,
                        timeout=timedelta(seconds=60))
try:
    GraphParallelCalculator(folder, skin=1.0 + rank)
except InputError as error:
    assert "others in process 1" in str(error), error
else:
    raise AssertionError
for fails in (False, True):
    calc = GraphParallelCalculator(folder)
    if rank == 1:
        if fails:
            DistributedRows.fold = lambda self, gradient: 1 / 0
        try:
            calc.get_potential_energy(bulk("Si"))
        except InputError as error:
            assert "only process 0" in str(error)
        calc.serve()
        continue
    try:
        print(f"{calc.get_forces(bulk('Si', cubic=True)).shape} {fails}", flush=True)
        calc.close()
    except CalculationFailed as error:
        print(f"failed: {error}", flush=True)
        sys.exit(3)
"""


def test_processes_started_by_others_and_an_error_in_one(potential_folder, tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": loopback()}
    command = [sys.executable, tmp_path / "program.py", potential_folder, tmp_path / "store"]
    processes = [
        subprocess.Popen(
            [*command, str(rank)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for rank in range(2)
    ]
    try:
        said = [process.communicate(timeout=100) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert "(8, 3) False" in said[0][0], said
    assert "failed: the processes could not finish together" in said[0][0], said
    assert [process.returncode for process in processes] == [3, 1]
    assert "ZeroDivisionError" in said[1][1]


def loopback():
    return next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
