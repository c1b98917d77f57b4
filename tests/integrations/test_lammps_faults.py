"""What goes wrong in a LAMMPS run ends it, all processes, with a sentence."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import types

import pytest
from ase.build import bulk

from ase_symcalc.cli import lammps as command
from ase_symcalc.cli.main import main
from ase_symcalc.errors import InputError
from ase_symcalc.integrations import lammps_driver
from ase_symcalc.integrations.lammps_check import Comparison, Row
from tests.integrations import test_lammps
from tests.integrations.test_lammps import (
    JOB,
    LONGEST,
    NVE,
    ROOT,
    SYMCALC,
    Inputs,
    copper,
    launched,
)

folder = test_lammps.folder
needs_lammps = test_lammps.pytestmark
REFUSED = 2


def job(folder, name, **what):
    path = folder / f"{name}.json"
    path.write_text(json.dumps({**what, "out": str(folder / f"{name}-out.json")}), "utf-8")
    return path, folder / f"{name}-out.json"


@needs_lammps
def test_a_failure_on_one_process_ends_all(folder):
    inputs = {"run": {"nve": Inputs(folder)("raise", copper(), NVE.format(steps=5))}}
    path, out = job(folder, "raise", **inputs, **{"raise": 3})
    done = launched(2, "-m", JOB, str(path), folder=folder)
    assert done.returncode != 0
    assert "ZeroDivisionError: a fault on one process" in done.stderr
    assert not out.exists()


@needs_lammps
def test_inputs_that_lammps_or_the_potential_refuse(folder):
    inputs, atoms = Inputs(folder), copper()
    atoms.center(vacuum=1)
    two = bulk("NiMo", "rocksalt", a=5.0, cubic=True)
    head = test_lammps.HEAD
    cases = {
        "units": ("run 0\n", head.replace("units metal", "units real"), "expected `units metal`"),
        "lj": ("run 0\n", head.replace("units metal\n", ""), "default if there is no such"),
        "command": ("\nfoo bar\n", head, "command.in, line 10: LAMMPS says: Unknown command: foo"),
        "element": ("run 0\n", head.replace("{elements}", "Xx"), "line 7: Xx is no element"),
        "types": ("run 0\n", head.replace("{elements}", "Cu Cu"), "line 7: expected `pair_coeff"),
        "name": ("run 0\n", head.replace("{potential}", "nobody"), "line 5: "),
        "dtype": ("run 0\n", head.replace("{potential}", "two dtype half"), "line 5: "),
        "variable": ("run 0\n", head.replace("{potential}", "${{p}}"), "line 5: LAMMPS says: "),
        "loop": ("jump SELF start\n", "label start\n" + head, "a jump cannot cross"),
        "lost": ("velocity all set 9999 0 0\nfix 1 all nve\nrun 9\n", head, "says: Lost atoms"),
    }
    paths = {
        name: inputs(name, atoms, end, head=text, boundary="f f f")
        for name, (end, text, _) in cases.items()
    }
    paths["count"] = inputs("count", two, "run 0\n", head=head.replace("{elements}", "Ni"))
    inside = {
        "near": "set atom 1 x 1 y 1 z 1\nset atom 2 x 1 y 1 z 1.01\nrun 1\n",
        "style": 'if "1" then "pair_style zero 5" "pair_style none"\nrun 1\n',
    }
    end = {name: inputs(name, atoms, last) for name, last in inside.items()}
    path, out = job(folder, "refuse", refuse=paths, end=end)
    done = launched(0, "-m", JOB, str(path), folder=folder)
    assert done.returncode == 0, done.stderr
    said = json.loads(out.read_text("utf-8"))
    for name, (_, _, sentence) in cases.items():
        assert sentence in said["refuse"][name], (name, said["refuse"][name])
    assert "with 2 elements" in said["refuse"]["count"]
    assert {kind for kind, _ in said["end"].values()} == {"InputError"}
    assert "atoms 1 and 2 are 0.01 Å apart" in said["end"]["near"][1]
    assert "must stay the only pair style" in said["end"]["style"][1]


@needs_lammps
def test_all_processes_refuse_with_one_sentence(folder):
    path = Inputs(folder)("wrong", copper(), "foo bar\n")
    done = launched(2, "-c", SYMCALC, "lammps", path, folder=folder)
    assert done.returncode == REFUSED
    assert done.stderr == f"symcalc lammps: {path}, line 9: LAMMPS says: Unknown command: foo bar\n"


@needs_lammps
def test_processes_are_started_and_the_check_agrees(folder):
    example = str(ROOT / "examples" / "copper.lammps")
    words = ("lammps", example, "-n", "2", "--check", "--log", "copper.log")
    done = launched(0, "-c", SYMCALC, *words, folder=folder)
    assert done.returncode == 0, done.stderr
    assert "108 atoms: agree" in done.stdout
    assert "symcalc: potential metals-preview" in done.stdout
    log = (folder / "copper.log").read_text("utf-8")
    assert "float32 on cpu, cutoff 5 A, 3 layers, 2 processes" in log


def test_a_check_that_fails_is_no_success(capsys):
    rows = (
        Row("energy", "eV/atom", -1.0, -1.0, 0.0, 1e-9),
        Row("forces", "eV/Å", 1.0, 2.0, 1.0, 1e-8),
    )
    fake = types.SimpleNamespace(check=lambda: Comparison(8, rows))
    alone = types.SimpleNamespace(rank=0, size=1, bcast=lambda value: value)
    assert command._check(fake, alone) == command.DIFFERS
    assert "8 atoms: forces DIFFER" in capsys.readouterr().out


def test_without_lammps(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(InputError, match=r'needs mpi4py and mpich: pip install "ase-symcalc\[lam'):
        lammps_driver.world()
    monkeypatch.setitem(sys.modules, "lammps", None)
    with pytest.raises(InputError, match=r'not installed: pip install "ase-symcalc\[lammps\]"'):
        lammps_driver._lammps()


def test_started_by_another_mpi(monkeypatch):
    mpi = types.SimpleNamespace(COMM_WORLD=types.SimpleNamespace(size=1))
    monkeypatch.setitem(sys.modules, "mpi4py", types.SimpleNamespace(MPI=mpi))
    assert lammps_driver.world().size == 1
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    with pytest.raises(InputError, match="2 processes were started, but they do not know"):
        lammps_driver.world()


def test_a_launcher_is_needed_and_a_number(monkeypatch, tmp_path, capsys):
    assert main(["lammps", "in.lammps", "-n", "0"]) == REFUSED
    assert "expected -n to be at least 1, got 0" in capsys.readouterr().err
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["lammps", "in.lammps", "-n", "2"]) == REFUSED
    assert "need mpich's mpiexec.gforker: pip install" in capsys.readouterr().err


def test_processes_that_fail_together_know_it(monkeypatch):
    class Meeting:
        def __init__(self, met):
            self.met = met

        def Ibarrier(self):
            return self

        def Test(self):
            return self.met

    monkeypatch.setattr(lammps_driver, "PATIENCE", 0.05)
    assert lammps_driver.together(Meeting(True))
    assert not lammps_driver.together(Meeting(False))


@needs_lammps
@pytest.mark.parametrize(("how", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_processes_end_with_the_one_that_started_them(folder, how, code):
    steps = "thermo 1\nthermo_modify flush yes\nfix 1 all nve\nrun 1000000\n"
    path = Inputs(folder)(f"endless{code}", copper(), steps)
    log = folder / f"endless{code}.log"
    command = [sys.executable, "-c", SYMCALC, "lammps", path, "-n", "1", "--log", str(log)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "ASE_SYMCALC_POTENTIALS": str(folder)}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}

    def heed_interrupts() -> None:  # which a shell's background jobs are made to ignore
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    started = subprocess.Popen(command, env=environment, preexec_fn=heed_interrupts, **quiet)
    with started:
        try:
            wait_until(lambda: log.exists() and re.search(r"(?m)^ +3 ", log.read_text("utf-8")))
            started.send_signal(how)
            assert started.wait(LONGEST) == code
        finally:
            started.kill()
    wait_until(lambda: not processes_of(path))


def wait_until(true):
    end = time.monotonic() + LONGEST
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)


def processes_of(path):
    """Those that have the input in their command line."""
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if path in line]
