"""Memory does not grow with the number of evaluations, nor stay after a large one."""

import ctypes
import gc
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from ase_symcalc import SymCalc, evaluate
from ase_symcalc.inference import planned
from ase_symcalc.inference.network import network_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
MIB = 1 << 20


def resident():
    """MiB in use, after what was freed went back to the system."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


def changing(rng):
    """A crystal or a cloud of atoms, of any size and species."""
    symbol = rng.choice(["Li", "Si", "Cu", "Mo"])
    if rng.random() < 0.5:
        return bulk("Si", a=rng.uniform(5, 6), cubic=True) * rng.integers(1, 3, 3).tolist()
    places = np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3)[: rng.integers(1, 27)]
    return Atoms([symbol] * len(places), 2.6 * places + rng.normal(0, 0.05, places.shape))


def test_it_is_flat_while_structures_change(potential):
    rng = np.random.default_rng(1)
    calc = SymCalc(potential)

    def work(n):
        for _ in range(n):
            atoms = changing(rng)
            calc.get_property(rng.choice(["energy", "forces"]), atoms)
        return resident()

    work(60)
    before = work(60)
    assert work(300) - before < 8


def test_a_large_structure_leaves_nothing_behind(potential):
    """Neither one that has symmetry, nor one whose calculator is still there."""
    small, large = bulk("Si", cubic=True), bulk("Si", cubic=True) * (4, 4, 4)
    calc = SymCalc(potential)
    calc.get_property("forces", small)
    before = resident()
    for seed in range(2):
        evaluate(large, potential, symmetry="auto", properties=["energy"])
        calc.get_property("forces", large)
        rattled = large.copy()
        rattled.rattle(0.01, seed=seed)
        calc.get_property("forces", rattled)
    del rattled
    for _ in range(10):
        calc.get_property("forces", small)
    assert resident() - before < 10


def test_plans_of_many_atoms_are_few(potential, monkeypatch):
    monkeypatch.setattr(planned, "_KEPT_ROWS", 40)
    known = network_of(potential.model, potential.dtype, potential.device).plans
    for n in (1, 2, 3, 4, 5):
        atoms = bulk("Si", cubic=True) * (1, 1, n)
        atoms.rattle(0.01)
        SymCalc(potential).get_property("forces", atoms)
        assert sum(len(key[0]) // 8 for key in known._known) <= 40
    assert len(known) == 1
