"""`surface`: against slabs made by hand, and which faces a crystal has."""

import re

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111
from ase.calculators.emt import EMT
from ase.spacegroup import crystal

from ase_symcalc.apps import surface
from ase_symcalc.apps.surface import in_words, miller_indices
from ase_symcalc.apps.surface_cuts import find_planes, indices_in
from ase_symcalc.errors import InputError
from ase_symcalc.structures import neighbour_pairs
from ase_symcalc.symmetry.setting import standard_setting

A = 3.6
CUBIC = [90, 90, 90]
PEROVSKITE = crystal(
    ["Sr", "Ti", "O"], [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0)], spacegroup=221,
    cellpar=[3.9, 3.9, 3.9, *CUBIC],
)  # fmt: skip
RUTILE = crystal(
    ["Ti", "O"], [(0, 0, 0), (0.305, 0.305, 0)], spacegroup=136, cellpar=[4.6, 4.6, 2.96, *CUBIC]
)


def copper(**options):
    atoms = bulk("Cu", a=A, **options)
    atoms.calc = EMT()
    return atoms


def cuts(atoms, *hkl):
    conventional = standard_setting(atoms, 1e-3).cell
    return find_planes(atoms, indices_in(atoms.cell.array, conventional, hkl))


def test_energy_by_hand():
    result = surface(copper(), (1, 1, 1), relax_bulk=False, max_steps=0)
    (face,) = result.terminations
    slab = fcc111("Cu", (1, 1, 11), a=A, vacuum=10)
    slab.calc = EMT()
    area = A**2 * np.sqrt(3) / 4
    by_hand = (slab.get_potential_energy() - 11 * result.bulk_energy) / (2 * area)
    assert face.area == pytest.approx(area)
    assert face.energy_fixed == pytest.approx(by_hand, abs=1e-7)
    assert face.in_j_per_m2[0] == pytest.approx(by_hand * 16.0217663)
    assert face.fitted_bulk_energy == pytest.approx(result.bulk_energy, abs=1e-7)
    assert face.cut.gap == pytest.approx(A / np.sqrt(3))
    assert [len(slab) for slab in face.slabs] == list(face.layers)


@pytest.mark.parametrize("hkl", [(1, 0, 0), (1, 1, 0), (2, 1, 0), (-1, 1, 2)])
def test_slabs_are_pieces_of_the_crystal_with_whole_planes(hkl):
    atoms = copper()
    planes = cuts(atoms, *hkl)
    (cut,) = planes.cuts
    slab = planes.slab(cut, 9, vacuum=12.0)
    assert len(slab) == 9
    assert slab.pbc.tolist() == [True, True, False]
    near = neighbour_pairs(slab.positions, slab.cell.array, slab.pbc, 1.2 * A / np.sqrt(2))
    counts = np.bincount(near.centre)
    assert counts.max() == 12  # as in the crystal
    assert (counts < 12).any()
    heights = np.unique(slab.positions[:, 2].round(6))
    np.testing.assert_allclose(np.diff(heights), planes.spacing, atol=1e-5)
    assert planes.spacing * np.linalg.norm(np.cross(*slab.cell.array[:2])) == pytest.approx(
        A**3 / 4
    )
    assert slab.cell.volume / abs(slab.cell.array[2, 2]) > 0
    np.testing.assert_allclose(slab.cell.array[:2, 2], 0, atol=1e-9)


def test_relaxation_lowers_and_any_cell_gives_the_same():
    seen = []
    primitive = copper()
    before = primitive.copy()
    one = surface(primitive, [1, 1, 0], min_thickness=8.0, on_step=seen.append).terminations[0]
    assert primitive == before
    other = surface(copper(cubic=True), (2, 2, 0), min_thickness=8.0).terminations[0]
    assert one.energy < one.energy_fixed
    assert one.energy == pytest.approx(other.energy, abs=1e-5)
    assert one.converged
    assert {step.part for step in seen} == {"crystal", "Cu face, 7 layers", "Cu face, 12 layers"}


def test_close_packed_faces_cost_least():
    energies = [
        surface(copper(), hkl, min_thickness=8.0, relax_bulk=False).terminations[0].energy
        for hkl in ((1, 1, 1), (1, 0, 0), (1, 1, 0))
    ]
    assert energies == sorted(energies)


def test_diamond_is_cut_between_double_layers_or_through_them():
    wide, narrow = cuts(bulk("Si"), 1, 1, 1).cuts
    assert wide.symmetric
    assert narrow.symmetric
    assert wide.gap == pytest.approx(3 * narrow.gap)
    assert not wide.polar
    assert len(cuts(bulk("Si"), 1, 0, 0).cuts) == 1
    assert len(cuts(bulk("Mg"), 1, 0, 0).cuts) == 2  # hexagonal close packing
    assert len(cuts(bulk("Mg"), 0, 0, 1).cuts) == 1


def test_faces_of_ionic_crystals():
    (rock,) = cuts(bulk("MgO", "rocksalt", a=4.2), 1, 0, 0).cuts
    assert (rock.symmetric, rock.polar, rock.top) == (True, False, "MgO")
    (rock,) = cuts(bulk("MgO", "rocksalt", a=4.2), 1, 1, 1).cuts
    assert (rock.symmetric, rock.polar) == (False, True)
    (perovskite,) = cuts(PEROVSKITE, 1, 0, 0).cuts
    assert not perovskite.symmetric
    bridged, other = cuts(RUTILE, 1, 1, 0).cuts
    assert (bridged.symmetric, bridged.polar, bridged.top) == (True, False, "O")
    assert not other.symmetric
    assert "dipole across the slab if its atoms are ions" in in_words(other)


def test_unlike_faces_only_if_asked_for():
    atoms = crystal(
        ["Cu", "Au"], [(0, 0, 0), (0.5, 0.5, 0.5)], spacegroup=221, cellpar=[3.0] * 3 + CUBIC
    )
    atoms.calc = EMT()
    with pytest.raises(InputError, match=r"no cut along \(1, 0, 0\) leaves .*--unlike-faces"):
        surface(atoms, (1, 0, 0), relax_bulk=False)
    result = surface(atoms, (1, 0, 0), relax_bulk=False, unlike_faces=True, max_steps=0)
    assert any("has another on the back: the energy is their mean" in s for s in result.warnings)
    assert not result.converged


def test_indices_refer_to_the_cell_given_if_it_is_conventional():
    tetragonal = bulk("Cu", a=A, cubic=True)
    tetragonal.set_cell([A, A, 1.1 * A], scale_atoms=True)  # body-centred, half as large
    tetragonal.calc = EMT()
    lengths = [
        np.sort(
            np.linalg.norm(surface(atoms, (1, 0, 0), relax_bulk=False, max_steps=0).cell, axis=1)
        )
        for atoms in (tetragonal, copper(), copper(cubic=True))
    ]
    np.testing.assert_allclose(lengths[0], [A / np.sqrt(2), A / np.sqrt(2), 1.1 * A])
    np.testing.assert_allclose(lengths[1:], A)
    orthorhombic = Atoms("CuAu", [(0, 0, 0), (1.5, 1.6, 1.7)], cell=[3.4, 3.0, 3.2], pbc=True)
    orthorhombic.calc = EMT()
    result = surface(orthorhombic, (0, 1, 0), relax_bulk=False, max_steps=0, unlike_faces=True)
    assert result.terminations[0].area == pytest.approx(3.4 * 3.2)


def test_slabs_that_disagree_about_the_crystal_are_named():
    result = surface(copper(), (1, 1, 0), min_thickness=1.0, relax_bulk=False)
    assert any("an atom costs" in sentence for sentence in result.warnings) == (
        abs(result.terminations[0].fitted_bulk_energy - result.bulk_energy) > 0.002
    )
    assert "reconstructions" in result.warnings[0]


@pytest.mark.parametrize(
    ("hkl", "options", "words"),
    [
        ((0, 0, 0), {}, "not all zero"),
        ((1, 0), {}, "three whole numbers"),
        ((1, 0, 0), {"vacuum": 3.0}, "vacuum of at least 8 Å"),
        ((1, 0, 0), {"min_thickness": -1.0}, "thickness above 0"),
        ((1, 0, 0), {"fmax": 0.0}, "fmax above 0"),
    ],
)
def test_argument_without_meaning(hkl, options, words):
    with pytest.raises(InputError, match=words):
        surface(copper(), hkl, **options)


@pytest.mark.parametrize("hkl", ["abc", (1, 0, 0.5), ("1", "0", "0"), (0, 0, 0), (1, 1)])
def test_what_are_no_indices(hkl):
    with pytest.raises(InputError, match=r"three whole numbers.*got .*" + re.escape(repr(hkl))):
        miller_indices(hkl)
    assert miller_indices(np.array([2, 0, -4])) == (1, 0, -2)


def test_what_is_no_crystal():
    slab = fcc111("Cu", (1, 1, 3), vacuum=10)
    slab.calc = EMT()
    with pytest.raises(InputError, match="needs a crystal"):
        surface(slab, (1, 1, 1))
