"""Our driver in i-PI: the same numbers as `SymCalc`, and real runs of 100 steps."""

import os
import re
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import units
from ase.build import bulk
from ase.calculators.socketio import SocketClient
from ase.io import read

from ase_symcalc import SymCalc
from ase_symcalc.cli.main import main
from ase_symcalc.errors import InputError, PotentialFileError, UnsupportedElementError

pytest.importorskip("ipi", reason="needs ase-symcalc[ipi]")

from ipi.pes import load_pes
from ipi.utils.units import unit_to_internal

from ase_symcalc.integrations import ipi_pes
from ase_symcalc.integrations.ipi_pes import SymCalcDriver

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "ipi"
BIN = Path(sys.executable).parent
PATIENCE = 100  # s; whatever hangs for longer has failed


@pytest.fixture
def template(tmp_path, silicon):
    path = tmp_path / "template.xyz"
    silicon.write(path)
    return str(path)


@pytest.fixture
def driver(template, potential_folder):
    return SymCalcDriver(template, potential=str(potential_folder))


def sent(atoms):
    """What i-PI sends: cell vectors as columns, in bohr."""
    cell = unit_to_internal("length", "angstrom", atoms.cell.array.T)
    return cell, unit_to_internal("length", "angstrom", atoms.positions)


def sheared(atoms, seed):
    atoms = atoms.copy()
    atoms.set_cell(atoms.cell.array @ [[1, 0.03, 0], [0, 1.01, 0.02], [0, 0, 0.98]], True)
    atoms.rattle(0.05, seed=seed)
    return atoms


def test_one_structure_is_symcalc_in_atomic_units(driver, silicon, calc):
    atoms = sheared(silicon, 1)
    atoms.calc = calc
    energy, forces, virial, extras = driver(*sent(atoms))
    assert energy == pytest.approx(
        unit_to_internal("energy", "electronvolt", atoms.get_potential_energy()), rel=1e-12
    )
    wanted = unit_to_internal("force", "ev/ang", atoms.get_forces())
    np.testing.assert_allclose(forces, wanted, rtol=0, atol=1e-12)
    stress = -atoms.get_stress(voigt=False) * atoms.get_volume()
    wanted = unit_to_internal("energy", "electronvolt", stress)
    np.testing.assert_allclose(virial, wanted, rtol=0, atol=1e-12)
    assert extras == ""


def test_beads_together_are_each_alone(driver, silicon, monkeypatch):
    beads = [sheared(silicon, seed) for seed in range(4)]
    cells, places = zip(*map(sent, beads), strict=True)
    graphs = []
    evaluate = ipi_pes.Together._evaluated
    monkeypatch.setattr(
        ipi_pes.Together,
        "_evaluated",
        lambda self, batch: graphs.append(len(batch)) or evaluate(self, batch),
    )
    together = driver(list(cells), list(places))
    assert graphs == [4]
    for found, cell, pos in zip(together, cells, places, strict=True):
        for one, other in zip(found[:3], driver(cell, pos)[:3], strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-13)


def test_the_cell_repeats_also_if_the_template_has_none(tmp_path, potential_folder, silicon, calc):
    """As ASE reads i-PI's own format."""
    lines = ["8", "# CELL(abcABC): 5.43 5.43 5.43 90 90 90 Step: 0", *["Si 0 0 0"] * 8]
    (tmp_path / "ipi.xyz").write_text("\n".join(lines) + "\n")
    driver = SymCalcDriver(str(tmp_path / "ipi.xyz"), potential=str(potential_folder))
    silicon.calc = calc
    energy = unit_to_internal("energy", "electronvolt", silicon.get_potential_energy())
    assert driver(*sent(silicon))[0] == pytest.approx(energy, rel=1e-12)


def test_precision_and_threads_are_options(template, potential_folder, silicon):
    threads = torch.get_num_threads()
    options = {"potential": str(potential_folder), "dtype": "float32"}
    try:
        single = SymCalcDriver(template, threads=2, verbose=True, verbosity=1, **options)
        assert torch.get_num_threads() == 2
        SymCalcDriver(template, **options)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(threads)
    exact = SymCalcDriver(template, potential=str(potential_folder))
    difference = single(*sent(silicon))[1] - exact(*sent(silicon))[1]
    assert 0 < np.abs(difference).max() < 1e-5


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({}, InputError, "expected a template, a file with the atoms"),
        ({"template": "absent.xyz"}, InputError, "the template cannot be read: .*absent.xyz"),
        ({"template": "", "modle": "x"}, InputError, "expected options among .*; got modle"),
        ({"template": "", "threads": 0}, InputError, "expected threads to be .* from 1, got 0"),
        ({"template": "", "potential": "none"}, PotentialFileError, "none"),
        ({"template": "", "dtype": "half"}, InputError, "expected dtype"),
        ({"template": "iron.xyz"}, UnsupportedElementError, "not trained on Fe"),
    ],
)
def test_options_without_meaning(options, error, words, tmp_path, monkeypatch, potential_folder):
    monkeypatch.chdir(tmp_path)
    bulk("Fe").write("iron.xyz")
    with pytest.raises(error, match=words):
        SymCalcDriver(**{"potential": str(potential_folder), **options})


def test_other_atoms_than_in_the_template(driver, silicon):
    with pytest.raises(InputError, match=r"i-PI sent 16 atoms, and .*template.xyz has 8"):
        driver(*sent(silicon * (2, 1, 1)))


def test_of_several_structures_the_one_without_meaning_is_named(driver, silicon):
    bad = silicon.copy()
    bad.positions[3] = np.nan
    (cell, good), (_, worse) = sent(silicon), sent(bad)
    with pytest.raises(InputError, match="structure 1: the position of atom 3"):
        driver([cell, cell], [good, worse])


def test_symcalc_ipi_prints_what_ipi_loads(capsys):
    assert main(["ipi"]) == 0
    (path,) = capsys.readouterr().out.splitlines()
    loaded = load_pes("custom", path)
    assert loaded.__name__ == "SymCalcDriver"
    sys.modules.pop(Path(path).stem)


def test_without_ipi_a_sentence_says_what_to_install(capsys, monkeypatch):
    monkeypatch.setattr("ase_symcalc.cli.ipi.find_spec", lambda name: None)
    assert main(["ipi"]) == 2
    assert "python -m pip install 'ase-symcalc[ipi]'" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "ipi.pes.dummy", None)
    with pytest.raises(ImportError, match=r"pip install 'ase-symcalc\[ipi\]'"):
        runpy.run_path(ipi_pes.__file__)


# Real runs. Sockets are files, and nothing listens on a network.


DIRECT = """<ffdirect name='symcalc'>
    <pes>custom</pes> <pes_path>PATH</pes_path> <batch_size>1</batch_size>
    <parameters>{template: init.xyz, potential: POTENTIAL}</parameters>
  </ffdirect>"""


class Simulation:
    """The example in a folder of its own, with another socket, potential, or way to ask it."""

    def __init__(self, folder, potential="default", *, batch_size=1, steps=100, direct=False):
        """With one bead at a time, messages are not consolidated, so that clients may die."""
        shutil.copytree(EXAMPLE, folder)
        self.folder, self.address = folder, f"symcalc_{uuid.uuid4().hex}"
        self.socket = Path(f"/tmp/ipi_{self.address}")
        self.options = f"template=init.xyz,potential={potential}"
        text = (folder / "input.xml").read_text()
        text = text.replace("verbosity='low'", "verbosity='medium'")
        if direct:
            text = re.sub(r"(?s)<ffsocket.*</ffsocket>", DIRECT, text)
            text = text.replace("PATH", ipi_pes.__file__).replace("POTENTIAL", str(potential))
        text = re.sub(r"<address>.*</address>", f"<address>{self.address}</address>", text)
        text = re.sub(r"<batch_size>.*</batch", f"<batch_size>{batch_size}</batch", text)
        if batch_size == 1 and not direct:
            more = "<consolidate_messages>False</consolidate_messages>"
            text = text.replace("<batch_size>1</batch_size>", more)
        text = re.sub(r"<total_steps>.*<", f"<total_steps>{steps}<", text)
        (folder / "input.xml").write_text(text)

    def start(self, *command):
        """A process whose words are kept."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        with (self.folder / f"{Path(command[0]).name}.log").open("a") as log:
            return subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=log, stderr=subprocess.STDOUT
            )

    def server(self):
        return self.start(BIN / "i-pi", "input.xml")

    def client(self):
        script, options = BIN / "i-pi-driver-py", ["-u", "-a", self.address, "-m", "custom"]
        return self.start(script, *options, "-P", ipi_pes.__file__, "-o", self.options)

    @contextmanager
    def running(self, *make_clients):
        """i-PI and its clients; all are gone at the end."""
        self.processes = [self.server()]
        try:
            wait_for(self.socket.exists)
            self.processes += [make() for make in make_clients]
            yield
        finally:
            for process in self.processes:
                with suppress(ProcessLookupError):
                    process.kill()
                process.wait()
            self.socket.unlink(missing_ok=True)

    def finish(self):
        assert self.processes[0].wait(PATIENCE) == 0, self.words("i-pi")

    def words(self, name):
        return (self.folder / f"{name}.log").read_text()

    def lines(self):
        path = self.folder / "lithium.out"
        text = path.read_text() if path.exists() else ""
        return [line for line in text.splitlines() if not line.startswith("#")]

    def table(self):
        return np.array([line.split() for line in self.lines()], dtype=float)


def wait_for(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, potential_folder):
    """All in one process, one bead at a time."""
    folder = tmp_path_factory.mktemp("ipi") / "undisturbed"
    run = Simulation(folder, potential_folder, direct=True)
    assert run.server().wait(PATIENCE) == 0, run.words("i-pi")
    assert len(run.lines()) == 101
    return run


@pytest.mark.skipif(not Path("/proc/net/unix").exists(), reason="counts sockets as Linux does")
def test_a_client_may_be_killed_on_the_way(undisturbed, tmp_path, potential_folder):
    run = Simulation(tmp_path / "run", potential_folder)
    with run.running(run.client, run.client):
        server, client, _ = run.processes
        server.send_signal(signal.SIGSTOP)  # lest it is done before both clients are there
        sockets = Path("/proc/net/unix").read_text
        wait_for(lambda: sockets().count(str(run.socket)) == 3)
        server.send_signal(signal.SIGCONT)
        wait_for(lambda: len(run.lines()) >= 10)
        client.kill()
        done = len(run.lines())
        run.finish()
    assert done < 101, "it was over before the client was killed"
    assert "died or got unresponsive" in run.words("i-pi")
    assert run.lines() == undisturbed.lines()
    for bead in range(4):
        name = f"lithium.pos_{bead}.extxyz"
        assert (run.folder / name).read_text() == (undisturbed.folder / name).read_text()
    assert not run.socket.exists()


def test_beads_in_one_call_take_the_same_way(undisturbed, tmp_path, potential_folder):
    run = Simulation(tmp_path / "run", potential_folder, direct=True, batch_size=4)
    assert run.server().wait(PATIENCE) == 0, run.words("i-pi")
    np.testing.assert_allclose(run.table(), undisturbed.table(), rtol=1e-6)


def test_client_of_ase(undisturbed, tmp_path, potential):
    """Its constants of nature differ in the eighth digit."""
    run = Simulation(tmp_path / "run", steps=5)
    atoms = read(EXAMPLE / "init.xyz")
    atoms.calc = SymCalc(potential)
    with run.running():
        client = SocketClient(unixsocket=run.address, timeout=PATIENCE)
        client.run(atoms, use_stress=True)
        run.finish()
    np.testing.assert_allclose(run.table(), undisturbed.table()[:6], rtol=1e-5)


def test_example_runs(tmp_path):
    """With the potential that is shipped; all four beads are one batch."""
    run = Simulation(tmp_path / "run", batch_size=4)
    with run.running(run.client):
        run.finish()
    step, conserved, temperature, kinetic, potential, _ = run.table().T
    assert step.tolist() == list(range(101))
    assert np.ptp(conserved[20:]) < 16 * 1e-4  # eV
    assert 20 < temperature.mean() < 200
    assert kinetic.mean() > 16 * 1.5 * 100 * units.kB  # more than classical atoms have
    assert (potential > -31).all()


def test_a_socket_left_behind_is_refused(tmp_path):
    """And i-PI says what the example says to remove."""
    run = Simulation(tmp_path / "run")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(run.socket))
    try:
        assert run.server().wait(PATIENCE) != 0
    finally:
        run.socket.unlink()
    assert f"{run.socket} exists, and remove it if unused" in run.words("i-pi")
