from __future__ import annotations

import numpy as np
import torch
from ase.build import bulk

from ase_symcalc.structures import build_graph
from ase_symcalc.training.fingerprint import fingerprint, same_environments


def test_a_structure_has_one_fingerprint_however_it_is_written() -> None:
    atoms = bulk("ZnS", "zincblende", a=5.4)
    atoms.rattle(0.1, seed=0)
    other = atoms * (2, 1, 1)
    other.rotate(50, (3, 1, 2), rotate_cell=True)
    other = other[np.random.default_rng(0).permutation(4)]
    one, two = build_graph(atoms, 5.0), build_graph(other, 5.0)
    torch.testing.assert_close(fingerprint(one), fingerprint(two), rtol=1e-4, atol=1e-5)
    assert same_environments(one, two, 1e-3)


def test_swapped_elements_and_small_steps_are_seen() -> None:
    atoms = bulk("ZnS", "wurtzite", a=3.8)
    graph = build_graph(atoms, 5.0)
    for change in ("swap", "step"):
        other = atoms.copy()
        if change == "swap":
            other.numbers[[0, 1]] = other.numbers[[1, 0]]
        else:
            other.positions[0] += 0.02
        assert not same_environments(graph, build_graph(other, 5.0), 1e-3)


def test_a_lone_atom_has_an_environment_of_nothing() -> None:
    atoms = bulk("Cu", a=20.0)
    assert fingerprint(build_graph(atoms, 5.0)).abs().max() == 0
