"""A run that is killed, wherever it is, goes on as if nothing had happened."""

import csv
import errno
import json
import os
import resource
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from ase.calculators.emt import EMT
from ase.io import read
from ase.io.trajectory import Trajectory, TrajectoryWriter

from ase_symcalc import SymCalc
from ase_symcalc.apps.md import md
from ase_symcalc.apps.md_ensembles import ENSEMBLES
from ase_symcalc.apps.md_files import COLUMNS, RunFiles
from ase_symcalc.errors import InputError, NumericalError
from tests.springs import spring_crystal

ENDINGS = (".traj", ".extxyz")
ROOT = Path(__file__).parents[3]


class Killed(Exception):
    """Stands for what ends a process; nothing catches it."""


def crystal():
    return spring_crystal(2)


def run(atoms, folder, steps=40, **more):
    settings = {"temperature": 500.0, "ensemble": "nve", "timestep": 3.0, "every": 5, "seed": 4}
    settings["trajectory"] = Path(folder, "run.traj")
    return md(atoms, steps=steps, **(settings | more))


def kill_at(step):
    def kill(seen):
        if seen.step == step:
            raise Killed

    return kill


def contents(folder):
    """Of all files of the run but the restart file, which has dates inside."""
    paths = sorted(Path(folder).iterdir())
    return {path.name: path.read_bytes() for path in paths if path.suffix != ".restart"}


def two_runs(tmp_path, make, **settings):
    """One without a break and one killed at step 20, in two folders."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    expected = run(make(), whole, **settings)
    with pytest.raises(Killed):
        run(make(), broken, on_step=kill_at(20), **settings)
    result = run(make(), broken, resume=True, **settings)
    assert result.resumed_from == 20
    return expected, result, whole, broken


def assert_same(expected, result):
    np.testing.assert_array_equal(result.atoms.positions, expected.atoms.positions)
    np.testing.assert_array_equal(result.atoms.get_momenta(), expected.atoms.get_momenta())
    np.testing.assert_array_equal(result.atoms.cell.array, expected.atoms.cell.array)
    for name in ("times", "temperatures", "potential", "kinetic", "conserved", "pressures"):
        first, second = getattr(result, name), getattr(expected, name)
        assert (first is None) == (second is None)
        if first is not None:
            np.testing.assert_array_equal(first, second)


class TestResume:
    @pytest.mark.parametrize("ensemble", ENSEMBLES)
    def test_bit_for_bit_in_every_ensemble(self, tmp_path, ensemble):
        expected, result, whole, broken = two_runs(tmp_path, crystal, ensemble=ensemble)
        assert_same(expected, result)
        assert contents(whole) == contents(broken)

    @pytest.mark.parametrize("ensemble", ["nvt-langevin", "npt", "npt-cell"])
    def test_bit_for_bit_on_ramps(self, tmp_path, ensemble):
        pressure = (0.0, 4.0) if ensemble.startswith("npt") else 0.0
        expected, result, *_ = two_runs(
            tmp_path, crystal, ensemble=ensemble, temperature=(300.0, 700.0), pressure=pressure
        )
        assert_same(expected, result)

    def test_bit_for_bit_with_a_potential(self, tmp_path, potential, silicon):
        """Its neighbour list has a skin, and its memory of symmetry a past."""

        def perfect():
            atoms = silicon.copy() * (2, 1, 1)
            atoms.positions += (20, -30, 0)  # nothing may be wrapped
            atoms.calc = SymCalc(potential, skin=0.5)
            return atoms

        expected, result, whole, broken = two_runs(tmp_path, perfect, temperature=3000.0)
        assert_same(expected, result)
        assert contents(whole) == contents(broken)

    def test_more_steps_for_a_run_that_is_done(self, tmp_path):
        run(crystal(), tmp_path, steps=23)
        result = run(crystal(), tmp_path, steps=40, resume=True)
        (tmp_path / "whole").mkdir()
        assert_same(run(crystal(), tmp_path / "whole"), result)
        again = run(crystal(), tmp_path, steps=40, resume=True)
        assert again.resumed_from == 40
        assert_same(result, again)

    def test_starts_if_there_is_nothing(self, tmp_path):
        result = run(crystal(), tmp_path, resume=True)
        assert result.resumed_from is None
        assert result.steps == 40

    def test_text_loses_digits_and_the_restart_file_does_not(self, tmp_path):
        path = tmp_path / "text.extxyz"
        expected = run(crystal(), tmp_path)
        with pytest.raises(Killed):
            run(crystal(), tmp_path, trajectory=path, on_step=kill_at(20))
        result = run(crystal(), tmp_path, trajectory=path, resume=True)
        assert_same(expected, result)
        images = read(path, ":")
        assert [atoms.info["step"] for atoms in images] == list(range(0, 41, 5))
        np.testing.assert_allclose(images[-1].positions, result.atoms.positions, atol=1e-8)
        np.testing.assert_allclose(images[-1].get_momenta(), result.atoms.get_momenta(), atol=1e-8)
        assert images[-1].get_potential_energy() == pytest.approx(result.potential[-1])


SCRIPT = """
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from ase_symcalc.apps.md import md
from tests.springs import spring_crystal

def tell(step):
    print(step.step, flush=True)
    time.sleep(0.01 if step.step >= 50 else 0)

md(spring_crystal(2), steps=100000, temperature=500.0, ensemble="nvt", timestep=3.0, every=5,
   seed=4, trajectory=Path(sys.argv[1]), on_step=tell)
"""


class TestKill:
    def test_nine(self, tmp_path):
        path = tmp_path / "run.traj"
        with subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(path)],
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            while int(process.stdout.readline()) < 50:
                pass
            process.send_signal(signal.SIGKILL)
            last = max([50, *map(int, process.stdout.read().split())])
        header, _ = RunFiles(path).read_restart()
        assert header["step"] >= last  # what was said to be written is
        assert len(read(path, ":")) >= last / 5 + 1
        steps = header["step"] + 20
        result = run(crystal(), tmp_path, steps=steps, ensemble="nvt", resume=True)
        (tmp_path / "whole").mkdir()
        expected = run(crystal(), tmp_path / "whole", steps=steps, ensemble="nvt")
        assert_same(expected, result)
        assert [atoms.info["step"] for atoms in read(path, ":")] == list(range(0, steps + 1, 5))

    @pytest.mark.parametrize("ending", ENDINGS)
    def test_in_the_middle_of_a_frame(self, tmp_path, ending):
        path = tmp_path / f"run{ending}"
        with pytest.raises(Killed):
            run(crystal(), tmp_path, trajectory=path, on_step=kill_at(20))
        before = contents(tmp_path)
        with path.open("ab") as stream:
            stream.write(before[path.name][-700:-100])
        with path.with_suffix(".csv").open("ab") as stream:
            stream.write(b"25,75.0,3")
        (tmp_path / ".run.restart.part").write_bytes(b"half")
        result = run(crystal(), tmp_path, trajectory=path, resume=True)
        assert result.steps == 40
        assert [atoms.info["step"] for atoms in read(path, ":")] == list(range(0, 41, 5))
        assert (np.diff(result.times) == 15).all()

    def test_between_the_frame_and_the_restart_file(self, tmp_path, monkeypatch):
        def stop(*_):
            raise Killed

        settings = {"every": 1, "steps": 60}  # a trajectory lists its first 42 frames elsewhere
        with pytest.raises(Killed):
            run(crystal(), tmp_path, on_step=kill_at(41), **settings)
        kept = {path: path.read_bytes() for path in tmp_path.iterdir()}
        monkeypatch.setattr(RunFiles, "_cut", lambda _: None)  # nobody cleans up after a kill
        with Trajectory(str(tmp_path / "run.traj"), "a") as longer:
            longer.write(crystal())
        monkeypatch.undo()
        assert len(read(tmp_path / "run.traj", ":")) == 43
        run(crystal(), tmp_path, resume=True, **settings)
        images = read(tmp_path / "run.traj", ":")
        assert [atoms.info["step"] for atoms in images] == list(range(61))
        assert kept.keys() == set(tmp_path.iterdir())

    def test_interrupt_while_writing(self, tmp_path, monkeypatch):
        write = TrajectoryWriter.write
        count = 0

        def interrupted(self, atoms):
            nonlocal count
            count += 1
            if count == 4:
                self.backend.write(numbers=atoms.numbers)
                raise KeyboardInterrupt
            write(self, atoms)

        monkeypatch.setattr(TrajectoryWriter, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(crystal(), tmp_path)
        assert len(read(tmp_path / "run.traj", ":")) == 3
        monkeypatch.undo()
        (tmp_path / "whole").mkdir()
        assert_same(run(crystal(), tmp_path / "whole"), run(crystal(), tmp_path, resume=True))


@contextmanager
def disk_of(size):
    """A limit on the size of files fails a write where a full disk would, in its middle."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class TestFullDisk:
    @pytest.mark.parametrize("ending", ENDINGS)
    @pytest.mark.parametrize("size", [20_000, 20_500, 21_100])
    def test_nothing_written_is_lost(self, tmp_path, ending, size):
        seen = []
        path = tmp_path / f"run{ending}"
        with disk_of(size), pytest.raises(OSError, match="Make room, then go on from") as caught:
            run(crystal(), tmp_path, 100, trajectory=path, on_step=lambda s: seen.append(s.step))
        last = seen[-1]
        assert f"everything up to step {last} is whole" in str(caught.value)
        images = read(path, ":")
        assert [atoms.info["step"] for atoms in images] == list(range(0, last + 1, 5))
        assert len(images) >= 3
        assert path.with_suffix(".csv").read_text().splitlines()[-1].startswith(f"{last},")

        result = run(crystal(), tmp_path, 100, trajectory=path, resume=True)
        (tmp_path / "whole").mkdir()
        assert_same(run(crystal(), tmp_path / "whole", 100), result)
        assert len(read(path, ":")) == 21

    @pytest.mark.parametrize("victim", ["savez", "write"])
    def test_before_the_first_frame_nothing_stays(self, tmp_path, monkeypatch, victim):
        def full(*_, **__):
            raise OSError(errno.ENOSPC, "No space left on device")

        owner = np if victim == "savez" else TrajectoryWriter
        monkeypatch.setattr(owner, victim, full)
        with pytest.raises(OSError, match="No space left on device; nothing was written"):
            run(crystal(), tmp_path)
        assert list(tmp_path.iterdir()) == []


class TestRefusals:
    def test_a_run_is_never_overwritten(self, tmp_path):
        run(crystal(), tmp_path, steps=5)
        before = contents(tmp_path)
        with pytest.raises(InputError, match="exists, and a run is never overwritten; go on"):
            run(crystal(), tmp_path, steps=5)
        assert contents(tmp_path) == before

    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            ({"ensemble": "nvt"}, "has ensemble nve, asked for is nvt"),
            ({"timestep": 2.0}, "has timestep 3.0, asked for is 2.0"),
            ({"temperature": 300.0}, r"has temperature \[500.0, 500.0\], asked for is"),
            ({"every": 10}, "has every 5, asked for is 10"),
            ({"steps": 5}, "has 10 steps behind it, more than the 5 asked for"),
        ],
    )
    def test_another_run(self, tmp_path, changed, message):
        run(crystal(), tmp_path, steps=10)
        with pytest.raises(InputError, match=message):
            run(crystal(), tmp_path, resume=True, **changed)

    def test_ramp_of_another_length(self, tmp_path):
        ramp = {"ensemble": "nvt", "temperature": (300.0, 500.0)}
        run(crystal(), tmp_path, steps=10, **ramp)
        with pytest.raises(InputError, match="has steps 10, asked for is 20"):
            run(crystal(), tmp_path, steps=20, resume=True, **ramp)

    def test_another_structure_or_calculator(self, tmp_path):
        run(crystal(), tmp_path, steps=10)
        nickel = crystal()
        nickel.symbols[0] = "Ni"
        with pytest.raises(InputError, match="has other numbers than this structure"):
            run(nickel, tmp_path, resume=True)
        other = crystal()
        other.calc = EMT()
        with pytest.raises(InputError, match=r"the calculator gives .* for step 10, the run had"):
            run(other, tmp_path, resume=True)

    @pytest.mark.parametrize("name", ["run.traj", "run.csv"])
    def test_a_file_that_was_cut(self, tmp_path, name):
        run(crystal(), tmp_path, steps=10)
        os.truncate(tmp_path / name, 200)
        with pytest.raises(InputError, match="has 200 bytes but the run had written"):
            run(crystal(), tmp_path, resume=True)

    def test_restart_file_lost_or_damaged(self, tmp_path):
        run(crystal(), tmp_path, steps=10)
        restart = tmp_path / "run.restart"
        content = restart.read_bytes()
        for damaged in (content[:-400], b"", b"no restart file"):
            restart.write_bytes(damaged)
            with pytest.raises(InputError, match="cannot be read: it is damaged"):
                run(crystal(), tmp_path, resume=True)
        with restart.open("wb") as file:
            np.savez(file, header=np.array("[" * 200_000))
        with pytest.raises(InputError, match="cannot be read: it is damaged"):
            run(crystal(), tmp_path, resume=True)
        restart.unlink()
        with pytest.raises(InputError, match="there is no restart file"):
            run(crystal(), tmp_path, resume=True)

    def test_restart_file_of_another_version(self, tmp_path):
        restart = tmp_path / "run.restart"
        with restart.open("wb") as stream:
            np.savez(stream, header=np.array(json.dumps({"schema": 99})))
        with pytest.raises(InputError, match="has schema 99, this version reads 2"):
            run(crystal(), tmp_path, resume=True)


def test_frames_have_what_analysis_needs(tmp_path):
    result = run(crystal(), tmp_path)
    images = read(tmp_path / "run.traj", ":")
    assert [atoms.info["time_fs"] for atoms in images] == list(result.times)
    np.testing.assert_array_equal(images[-1].get_momenta(), result.atoms.get_momenta())
    np.testing.assert_array_equal(images[-1].get_forces(), result.atoms.get_forces())
    np.testing.assert_array_equal(images[-1].get_stress(), result.atoms.get_stress())


def test_log_is_a_table(tmp_path):
    result = run(crystal(), tmp_path, ensemble="nvt-langevin")
    with (tmp_path / "run.csv").open(newline="") as stream:
        names, *rows = csv.reader(stream)
    assert tuple(names) == COLUMNS
    assert len(rows) == 9
    assert [row[0] for row in rows] == [str(5 * n) for n in range(9)]
    table = dict(zip(names, zip(*rows, strict=True), strict=True))
    assert set(table["conserved_eV"]) == {""}
    assert [float(value) for value in table["temperature_K"]] == list(result.temperatures)
    total = result.potential + result.kinetic
    assert [float(value) for value in table["total_eV"]] == list(total)


def test_explosion_leaves_a_trajectory(tmp_path):
    with pytest.raises(NumericalError, match=r"run.traj is whole up to step \d+") as caught:
        run(crystal(), tmp_path, timestep=70.0, temperature=2000.0, every=1)
    last = int(str(caught.value).split("up to step ")[1].split(".")[0])
    assert len(read(tmp_path / "run.traj", ":")) == last + 1
