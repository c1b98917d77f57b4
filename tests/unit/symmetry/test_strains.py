"""`irreducible_strains`: few, enough, and turning with the crystal."""

import numpy as np
import pytest
from ase.build import bulk
from ase.spacegroup import crystal
from scipy.spatial.transform import Rotation

from ase_symcalc.symmetry import elastic_basis
from ase_symcalc.symmetry.groups import by_few_generators, crystal_class
from ase_symcalc.symmetry.strains import irreducible_strains, voigt_strain


def made(symbol, site, spacegroup, *cellpar):
    return crystal(symbol, [site], spacegroup=spacegroup, cellpar=cellpar)


CRYSTALS = {
    "cubic": (bulk("Cu"), 1),
    "hexagonal": (bulk("Mg"), 2),
    "trigonal": (made("Si", (0.47, 0, 0), 154, 5, 5, 5.4, 90, 90, 120), 2),
    "tetragonal": (made("Sn", (0, 0, 0.1), 139, 4, 4, 7, 90, 90, 90), 2),
    "orthorhombic": (made("Ga", (0, 0.15, 0.08), 64, 4.5, 7.6, 4.6, 90, 90, 90), 3),
    "monoclinic": (made("Pu", (0.1, 0.25, 0.3), 11, 6, 5, 7, 90, 101, 90), 4),
    "triclinic": (made("Pu", (0.1, 0.25, 0.3), 2, 6, 5, 7, 84, 101, 93), 6),
}


def known(basis, strains):
    """How well the stresses of strains tell the constants of a basis apart."""
    factors = np.repeat([1, np.sqrt(2)], 3)
    stacked = np.hstack([basis @ voigt_strain(strain) * factors for strain in strains])
    return np.linalg.svd(stacked, compute_uv=False)


@pytest.mark.parametrize("name", CRYSTALS)
def test_few_strains_determine_every_constant_well(name):
    atoms, n_strains = CRYSTALS[name]
    group = crystal_class(atoms)
    basis = elastic_basis(by_few_generators(group))
    strains = irreducible_strains(group, basis, np.eye(3))
    values = known(basis, strains)
    assert len(strains) == n_strains
    assert len(values) == len(basis)
    assert values[-1] > 0.1 * values[0]
    np.testing.assert_allclose(abs(np.linalg.eigvalsh(strains)).max(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("name", CRYSTALS)
def test_a_turned_crystal_has_strains_that_are_turned(name):
    """Up to operations of the crystal: what they keep and what they determine is the same."""
    atoms, _ = CRYSTALS[name]
    turn = Rotation.from_rotvec((0.4, -0.9, 0.6)).as_matrix()
    turned = atoms.copy()
    turned.set_cell(atoms.cell.array @ turn.T, scale_atoms=True)
    values = []
    for body, axes in ((atoms, np.eye(3)), (turned, turn.T)):
        group = crystal_class(body)
        basis = elastic_basis(by_few_generators(group))
        values.append(known(basis, irreducible_strains(group, basis, axes)))
    np.testing.assert_allclose(*values, rtol=1e-6)


def test_few_generators_make_the_same_group():
    group = crystal_class(bulk("Cu"))
    few = by_few_generators(group)
    assert len(few.discrete) < 6
    one, other = elastic_basis(group), elastic_basis(few)
    np.testing.assert_allclose(*(np.tensordot(b, b, ([0], [0])) for b in (one, other)), atol=1e-10)


def test_a_supercell_has_the_class_of_its_crystal():
    assert len(crystal_class(bulk("Si", cubic=True) * (1, 2, 1)).discrete) == 47
