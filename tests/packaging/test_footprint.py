"""What is left behind: no state changed, no file outside the cache, no network, nothing said.

Everything runs in one fresh interpreter that watches itself.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

WATCH = """
import decimal, gc, locale, logging, os, random, signal, sys, threading, warnings
from pathlib import Path

changes, allowed = [], []

def watch(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        if arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            wrote(os.fsdecode(arguments[0]))
    elif event in ("os.mkdir", "os.remove", "os.rmdir", "os.rename", "os.truncate", "os.link",
                   "os.symlink", "shutil.copyfile", "sqlite3.connect"):
        wrote(os.fsdecode(arguments[-3 if event == "os.rename" else 0]))
    elif event in ("socket.connect", "socket.getaddrinfo", "socket.sendto", "urllib.Request"):
        if event != "socket.connect" or isinstance(arguments[1], tuple):
            changes.append(f"{event} {arguments[1:]}")

def wrote(path):
    path = os.path.abspath(path)
    if not path.startswith(("/dev/", *allowed)):
        changes.append(f"wrote {path}")

sys.addaudithook(watch)
"""

STATE = """
import ase.build, ase.filters, ase.io, ase.md.langevin, ase.optimize, ase.phonons
import e3nn.o3, jaxtyping, llvmlite.binding, matplotlib.pyplot, matscipy.neighbours, numpy
import phonopy, rich.progress, safetensors.torch, scipy.optimize, sklearn.decomposition, spglib
import torch, xml.dom.minidom
try:
    import ipi.pes.dummy  # seeds and prints as it likes; only i-PI itself imports our side of it
except ImportError:
    pass
matplotlib.use("agg")
torch.set_num_threads(2)
torch.set_num_interop_threads(2)
numpy.set_printoptions(precision=5)
decimal.getcontext().prec = 30

def state():
    return {
        "default dtype": torch.get_default_dtype(),
        "default device": torch.get_default_device(),
        "threads of torch": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "numbers of torch": torch.get_rng_state().tolist(),
        "modes of torch": (torch.is_grad_enabled(), torch.is_inference_mode_enabled(),
            torch.are_deterministic_algorithms_enabled(), torch.is_autocast_enabled(),
            torch.get_float32_matmul_precision(), torch.backends.mkldnn.enabled),
        "numbers of NumPy": repr(numpy.random.get_state()),
        "errors of NumPy": (numpy.geterr(), numpy.geterrcall()),
        "printing of NumPy": numpy.get_printoptions(),
        "numbers of Python": random.getstate(),
        "warnings": (list(warnings.filters), warnings.showwarning),
        "logging": (list(logging.root.handlers), logging.root.level, logging.root.disabled,
            logging.getLogger("ase_symcalc").level, logging.getLogger("ase_symcalc").handlers),
        "signals": {s: signal.getsignal(s) for s in signal.valid_signals()},
        "environment": dict(os.environ),
        "locale": locale.setlocale(locale.LC_ALL),
        "folder": os.getcwd(),
        "streams": (sys.stdout, sys.stderr, sys.stdin),
        "hooks": (sys.excepthook, sys.unraisablehook, threading.excepthook, sys.gettrace(),
            sys.getprofile(), sys.displayhook),
        "path": list(sys.path),
        "recursion": sys.getrecursionlimit(),
        "collector": (gc.isenabled(), gc.get_threshold()),
        "decimals": decimal.getcontext().prec,
        "plots": (matplotlib.get_backend(auto_select=False), dict(matplotlib.rcParams)),
        "figures": matplotlib.pyplot.get_fignums(),
    }

def check(what):
    after = state()
    changes.extend(f"{name} was changed" for name in before if before[name] != after[name])
    assert not changes, f"{what}: {changes}"

before = state()
"""

IMPORT = """
import pkgutil
import ase_symcalc
for module in pkgutil.walk_packages(ase_symcalc.__path__, "ase_symcalc."):
    __import__(module.name)
check("import")
"""

USE = """
import copy, pickle
from ase.build import bulk
from ase_symcalc import SymCalc, evaluate, list_potentials, load_potential
from ase_symcalc.nn.kernels.object_cache import folder
allowed.append(str(folder()))
atoms = bulk("Si", cubic=True)
atoms.rattle(0.05, seed=3)
for dtype in ("float64", "float32"):
    calc = SymCalc(POTENTIAL, dtype=dtype)
    check("construction")
    atoms.calc = calc
    for name in calc.implemented_properties:
        calc.get_property(name, atoms * (2, 2, 1))
    calc.get_property("forces", bulk("Si"))
    check("evaluation")
    calc.get_hessian(atoms), calc.get_descriptors(atoms, pool="wyckoff")
    calc.get_strain_derivatives(atoms)
    check("derivatives")
    copy.deepcopy(calc), pickle.loads(pickle.dumps(calc))
    calc.set(skin=0.2, symmetry="off")
    check("copies and settings")
for bad in ("no-such-potential", __file__ if "__file__" in globals() else "/dev/null"):
    try:
        SymCalc(bad)
    except Exception:
        pass
evaluate([atoms, bulk("Cu")], POTENTIAL, symmetry="auto")
SymCalc([POTENTIAL, POTENTIAL]).get_uncertainty(atoms)
SymCalc(CHECKPOINT).get_property("energy", bulk("Cu"))
list_potentials()
check("the rest")
"""

COMMANDS = """
import contextlib, io
from ase.build import bulk
from ase.io import write
from ase_symcalc.cli.main import main
from ase_symcalc.nn.kernels.object_cache import folder
allowed += [str(folder()), os.getcwd(), "/tmp"]  # what is asked for is written here
write("si.cif", bulk("Si"))
write("shaken.xyz", [a for a in [bulk("Si", cubic=True)] if not a.rattle(0.05, seed=3)] * 2)
with_potential = ["--potential", POTENTIAL]
every = [
    ["potentials"],
    ["evaluate", "shaken.xyz", *with_potential],
    ["relax", "si.cif", "--report", "relax.html", *with_potential],
    ["md", "si.cif", "--steps", "4", "--temperature", "300", *with_potential],
    ["eos", "si.cif", "--points", "7", *with_potential],
    ["elastic", "si.cif", *with_potential],
    ["describe", "shaken.xyz"],
    ["convert", CHECKPOINT, "converted"],
    ["relax", "nothing.cif", *with_potential],
]
for words in every:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = main(words)
    assert code in ((2,) if "nothing.cif" in words else (0, 1)), said.getvalue()
    check(words[0])
"""


def run(potential, folder, *parts):
    checkpoint = ROOT / "tests/regression/sevennet/no_parity.pth"
    names = f"POTENTIAL, CHECKPOINT = {str(potential)!r}, {str(checkpoint)!r}\n"
    program = folder / "program.py"
    program.write_text(names + "".join(parts), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-B", str(program)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


def test_use_leaves_no_trace(potential_folder, tmp_path):
    assert run(potential_folder, tmp_path, WATCH, STATE, "changes.clear()\n", IMPORT, USE) == ""


@pytest.mark.slow
def test_commands_leave_no_trace_but_what_they_were_asked_for(potential_folder, tmp_path):
    said = run(potential_folder, tmp_path, WATCH, STATE, "changes.clear()\n", COMMANDS)
    assert said == ""
