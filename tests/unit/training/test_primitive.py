"""Supercells of training data are cut down to what they say."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from ase_symcalc import evaluate
from ase_symcalc.training.labels import Labels
from ase_symcalc.training.primitive import primitive_frame


def strained(cell: Atoms) -> Atoms:
    deformation = np.eye(3) + np.array([[0.02, 0.01, 0], [0, -0.01, 0], [0, 0.03, 0]])
    cell.set_cell(cell.cell.array @ deformation, scale_atoms=True)
    return cell


def labelled(atoms: Atoms) -> Labels:
    (found,) = evaluate(atoms, "metals-preview")
    return Labels(found.energy, found.forces, found.stress)


@pytest.mark.parametrize(("repeats", "count"), [((2, 2, 2), 2), ((3, 1, 2), 2)])
def test_a_supercell_is_cut_to_its_primitive_cell_with_its_labels(repeats, count):
    whole = strained(bulk("Si") * repeats)
    labels = labelled(whole)
    cell, kept = primitive_frame(whole, labels)
    again = labelled(cell)
    assert len(cell) == count
    assert kept.energy == pytest.approx(again.energy, abs=1e-9)
    np.testing.assert_allclose(kept.forces, again.forces, atol=1e-9)
    np.testing.assert_allclose(kept.stress, again.stress, atol=1e-9)
    assert cell.get_volume() / count == pytest.approx(whole.get_volume() / len(whole))


def test_labels_that_do_not_repeat_keep_the_supercell():
    whole = bulk("Si") * (2, 2, 2)
    forces = np.zeros((len(whole), 3))
    forces[0, 0], forces[2, 0] = 0.1, -0.1
    labels = Labels(-86.8, forces, None)
    assert primitive_frame(whole, labels) == (whole, labels)


def test_what_does_not_repeat_comes_back_as_it_is():
    rattled = bulk("Si") * (2, 2, 2)
    rattled.rattle(0.02, seed=0)
    slab = bulk("Si") * (2, 2, 2)
    slab.pbc = (True, True, False)
    for atoms in (rattled, slab):
        labels = Labels(-86.8, None, None)
        assert primitive_frame(atoms, labels) == (atoms, labels)
