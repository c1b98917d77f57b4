"""The embedding belongs to the crystal, not to the cell it is written in."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell
from ase.spacegroup import crystal

from ase_symcalc.analysis import (
    GaussianBasis,
    NetworkFeatures,
    PowerSpectrum,
    material_embedding,
)
from ase_symcalc.errors import InputError
from tests.tolerances import TIGHT

BASIS = GaussianBasis(5.0, 3, 3)


def spinel(**settings):
    sites = [(1 / 8, 1 / 8, 1 / 8), (0.5, 0.5, 0.5), (0.262, 0.262, 0.262)]
    return crystal(
        "MgAlO", sites, spacegroup=227, setting=2, cellpar=[8.08] * 3 + [90] * 3, **settings
    )


def rewritten(atoms):
    shifted = atoms.copy()
    shifted.positions += [0.4, 1.7, -3.0]
    shifted.wrap()
    turned = atoms.copy()
    turned.rotate(33, (1, 2, 3), rotate_cell=True)
    return {
        "shifted": shifted,
        "turned": turned,
        "supercell": make_supercell(atoms, [[1, 1, 0], [-1, 1, 0], [0, 0, 1]]),
        "reordered": atoms[::-1],
    }


@pytest.mark.parametrize(
    ("primitive", "conventional", "elements"),
    [
        (bulk("Si"), bulk("Si", cubic=True), ("Si",)),
        (spinel(primitive_cell=True), spinel(), ("Al", "Mg", "O")),
    ],
    ids=["silicon", "spinel"],
)
def test_every_cell_of_a_crystal_gives_the_same(primitive, conventional, elements):
    descriptor = PowerSpectrum(elements, BASIS)
    expected = material_embedding(primitive, descriptor)
    assert abs(material_embedding(conventional, descriptor) - expected).max() < TIGHT
    for name, atoms in rewritten(primitive).items():
        assert abs(material_embedding(atoms, descriptor) - expected).max() < TIGHT, name


def test_network_gives_the_same_too(calc):
    descriptor = NetworkFeatures(calc)
    expected = material_embedding(bulk("Si"), descriptor)
    for name, atoms in rewritten(bulk("Si", cubic=True)).items():
        assert abs(material_embedding(atoms, descriptor) - expected).max() < TIGHT, name


def test_orbits_count_as_often_as_their_atoms():
    descriptor = PowerSpectrum(("Al", "Mg", "O"), BASIS)
    atoms = spinel()
    rows = descriptor(atoms)
    n = rows.shape[1]
    embedding = material_embedding(atoms, descriptor)
    np.testing.assert_allclose(embedding[:n], rows.mean(axis=0), atol=TIGHT)
    np.testing.assert_allclose(embedding[n:], rows.std(axis=0), atol=1e-7)


def test_what_is_no_crystal_is_refused():
    with pytest.raises(InputError, match=r"crystal|periodic|repeat"):
        material_embedding(Atoms("Si2", [(0, 0, 0), (0, 0, 2)]), PowerSpectrum(("Si",), BASIS))
