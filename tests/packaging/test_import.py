"""Nothing happens on import. Each test asks a fresh interpreter."""

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run(program):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_package_loads_nothing_heavy():
    loaded = run("import sys, ase_symcalc; print(*sys.modules)").split()
    assert "ase_symcalc" in loaded
    assert not {"torch", "numpy", "ase", "e3nn", "matplotlib", "rich"} & set(loaded)


def test_importing_every_room_changes_nothing_outside():
    run("""
import logging, os, pkgutil, random, signal, sys, threading, warnings
# what others do when they are imported is theirs
import ase.build, ase.filters, ase.io, ase.optimize, e3nn.o3, jaxtyping, llvmlite.binding
import ipi.pes, matplotlib.figure, matscipy.neighbours, numpy, rich.progress, safetensors.torch
import spglib, torch
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torch_sim.runners

def state():
    return {
        "environment": dict(os.environ),
        "warnings": list(warnings.filters),
        "default dtype": torch.get_default_dtype(),
        "threads of torch": torch.get_num_threads(),
        "numbers of torch": torch.get_rng_state().tolist(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "gradients": torch.is_grad_enabled(),
        "numbers of NumPy": numpy.random.get_state()[1].tolist(),
        "errors of NumPy": numpy.geterr(),
        "numbers of Python": random.getstate(),
        "interrupt": signal.getsignal(signal.SIGINT),
        "logging": (list(logging.root.handlers), logging.root.level),
        "threads": threading.active_count(),
        "plots": matplotlib.get_backend(auto_select=False),
        "folder": os.getcwd(),
    }

before = state()
import ase_symcalc
for module in pkgutil.walk_packages(ase_symcalc.__path__, "ase_symcalc."):
    __import__(module.name)
assert "ase_symcalc.potential_files.load" in sys.modules
after = state()
changed = [name for name in before if before[name] != after[name]]
assert not changed, changed
""")


def test_help_answers_in_under_a_second():
    program = "import sys; sys.argv[:] = ['symcalc', '--help']; from ase_symcalc.cli.main import "
    program += "main\ntry: main()\nfinally: assert 'torch' not in sys.modules"
    seconds = []
    for _ in range(3):  # the least of three: other work may run on the machine
        start = time.perf_counter()
        assert "usage: symcalc" in run(program)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 1
