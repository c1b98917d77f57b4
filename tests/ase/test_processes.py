"""Threads, forks and fresh processes, also while kernels are compiled for the first time."""

import os
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from ase_symcalc import SymCalc
from ase_symcalc.nn.kernels import machine
from tests.tolerances import TIGHT
from tests.zoo import zoo

ROOT = Path(__file__).parents[2]
SECONDS = 300
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")


def run(program, **environment):
    """Run a program in a fresh interpreter; a hang is a failure."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(program)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def moved(name, step):
    atoms = zoo()[name]
    atoms.rattle(0.02, seed=step)
    return atoms


@pytest.mark.parametrize("shared", [True, False], ids=["one calculator", "one each"])
def test_threads_get_what_they_would_alone(potential_folder, shared):
    """With settings, copies and resets of others in between."""
    names = ("ge_rattled_supercell", "si_cluster", "nimo_rocksalt", "li_bcc_cubic")
    one = SymCalc(potential_folder)
    calcs = [one] * 4 if shared else [SymCalc(potential_folder) for _ in names]
    alone = SymCalc(potential_folder, skin=0.0)
    expected = {
        (name, step): alone.get_property("forces", moved(name, step))
        for name in names
        for step in range(8)
    }
    start = threading.Barrier(len(names))

    def work(calc, name):
        start.wait(SECONDS)
        for step in range(8):
            atoms = moved(name, step)
            atoms.calc = calc
            if step % 4 == 1:
                calc.set(skin=0.2 * step)
            if step % 4 == 2:
                calc.reset()
            atoms.get_potential_energy()
            np.testing.assert_allclose(atoms.get_forces(), expected[name, step], rtol=0, atol=TIGHT)

    with ThreadPoolExecutor(len(names)) as pool:
        for future in [pool.submit(work, *pair) for pair in zip(calcs, names, strict=True)]:
            future.result(SECONDS)


@forks
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # Python 3.12 on: advice only
def test_a_fork_waits_for_the_kernel_that_another_thread_compiles(monkeypatch):
    """The child then finds no closed door, neither ours nor one of LLVM."""
    begun = threading.Event()
    compile_ = machine._compile

    def slowly(assembly):
        begun.set()
        time.sleep(0.5)
        return compile_(assembly)

    monkeypatch.setattr(machine, "_compile", slowly)
    monkeypatch.setattr(machine.object_cache, "find", lambda _: None)
    monkeypatch.setattr(machine.object_cache, "keep", lambda *_: None)
    assembly = "define void @kernel(i64 %first, i64 %last) {{ ret void }} ; {}"
    thread = threading.Thread(target=machine.compile_kernel, args=(assembly.format("parent"), 0))
    thread.start()
    assert begun.wait(SECONDS)
    child = os.fork()
    if child == 0:
        machine.compile_kernel(assembly.format("child"), 0)(0, 0)
        os._exit(0)
    thread.join(SECONDS)
    assert status_of(child) == 0


def status_of(child):
    """Exit status of a child that must end by itself."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return status
        time.sleep(0.02)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return "it hung"


@forks
@pytest.mark.long
def test_forks_during_the_first_call_of_another_thread(potential_folder, tmp_path):
    """Nothing is compiled yet, nor on disk."""
    run(
        f"""
        import os, signal, threading, time
        import numpy as np, torch
        from ase.build import bulk
        from ase_symcalc import SymCalc

        torch.set_num_threads(2)
        atoms = bulk("Si", cubic=True)
        atoms.rattle(0.05, seed=3)

        def forces():
            return SymCalc({str(potential_folder)!r}).get_property("forces", atoms)

        thread = threading.Thread(target=forces)
        thread.start()
        children = []
        for _ in range(4):
            time.sleep(0.3)
            child = os.fork()
            if child == 0:
                signal.alarm({SECONDS // 2})
                os._exit(0 if np.isfinite(forces()).all() else 1)
            children.append(child)
        thread.join()
        states = [os.waitpid(child, 0)[1] for child in children]
        assert not any(states), states
        """,
        ASE_SYMCALC_CACHE=str(tmp_path),
    )


def test_the_same_bits_in_every_process_on_one_thread_and_two(potential_folder):
    """Also after other structures."""
    program = f"""
        import numpy as np, torch
        from ase_symcalc import SymCalc
        from tests.zoo import zoo

        torch.set_num_threads({{threads}})
        every = zoo()
        large = every["ge_rattled_supercell"] * (2, 2, 2)  # enough edges for several parts
        for dtype in ("float64", "float32"):
            calc = SymCalc({str(potential_folder)!r}, dtype=dtype)
            if {{busy}}:
                for atoms in every.values():
                    calc.get_property("forces", atoms)
                calc.get_descriptors(every["si_cluster"])
            for atoms in (large, every["si_diamond_primitive"], every["li_sheared"]):
                for name in ("energy", "forces", "stress", "energies"):
                    print(np.asarray(calc.get_property(name, atoms)).tobytes().hex())
    """
    alone = run(program.format(threads=1, busy=False))
    assert len(alone) > 1000
    assert run(program.format(threads=2, busy=True)) == alone
