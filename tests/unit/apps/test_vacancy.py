"""`vacancy`: against energies put together by hand."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.spacegroup import crystal

from ase_symcalc.apps import vacancy
from ase_symcalc.errors import InputError


def copper(**options):
    atoms = bulk("Cu", a=3.6, **options)
    atoms.calc = EMT()
    return atoms


def auricupride():
    """Cu3Au, two inequivalent sites."""
    atoms = crystal(
        ["Au", "Cu"], [(0, 0, 0), (0.5, 0.5, 0)], spacegroup=221, cellpar=[3.7] * 3 + [90] * 3
    )
    atoms.calc = EMT()
    return atoms


def test_formation_energy_by_hand():
    result = vacancy(copper(), min_length=7.0, relax_bulk=False)
    (site,) = result.sites
    supercell = bulk("Cu", a=3.6) * (3, 3, 3)
    supercell.calc = EMT()
    full = supercell.get_potential_energy()
    del supercell[5]
    fixed = supercell.get_potential_energy() - full * 26 / 27
    assert result.n_atoms == 27
    assert result.image_distance == pytest.approx(3 * 3.6 / np.sqrt(2))
    assert site.formation_fixed == pytest.approx(fixed, abs=1e-6)
    assert site.formation < site.formation_fixed
    assert site.chemical_potential == pytest.approx(full / 27) == result.bulk_energy
    assert (site.element, site.letter, site.multiplicity) == ("Cu", "a", 4)
    assert result.converged
    assert site.hop is None


@pytest.mark.parametrize("min_length", [6.0, 9.0])
def test_images_are_as_far_apart_as_asked(min_length):
    result = vacancy(copper(), min_length=min_length, max_steps=0, relax_bulk=False)
    hole = result.sites[0].atoms
    assert result.image_distance >= min_length
    shortest = min(
        np.linalg.norm(np.array(n) @ hole.cell.array) for n in np.ndindex(3, 3, 3) if any(n)
    )
    assert result.image_distance <= shortest + 1e-9


def test_any_cell_of_a_crystal_gives_the_same_and_none_is_changed():
    cubic = copper(cubic=True)
    before = cubic.copy()
    seen = []
    one = vacancy(cubic, min_length=7.0, on_step=seen.append)
    assert cubic == before
    other = vacancy(copper(), min_length=7.0)
    assert one.n_atoms == other.n_atoms
    assert one.sites[0].formation == pytest.approx(other.sites[0].formation, abs=1e-4)
    assert {step.part for step in seen} == {"crystal", "Cu vacancy (a)"}
    assert one.bulk.get_stress() == pytest.approx(np.zeros(6), abs=2e-3)  # it was relaxed


def test_hop_of_a_neighbour():
    result = vacancy(copper(), min_length=7.0, migration=True, n_images=3)
    hop = result.sites[0].hop
    nearest = np.linalg.norm(result.bulk.cell.array, axis=1).min()
    assert hop.distance == pytest.approx(nearest)
    assert hop.path.barrier_forward == pytest.approx(hop.path.barrier_backward, abs=1e-5)
    assert 0.5 < hop.path.barrier_forward < 1
    assert result.converged


def test_sites_of_a_compound_need_chemical_potentials():
    result = vacancy(auricupride(), min_length=7.0)
    assert [(site.element, site.multiplicity) for site in result.sites] == [("Au", 1), ("Cu", 3)]
    assert [site.formation for site in result.sites] == [None, None]
    assert "no chemical potential was given for Au, Cu" in result.warnings[1]
    given = vacancy(auricupride(), min_length=7.0, mu={"Cu": -0.5})
    gold, cupric = given.sites
    assert gold.formation is None
    assert cupric.formation == pytest.approx(cupric.removal - 0.5)
    assert cupric.removal == pytest.approx(result.sites[1].removal, abs=1e-6)
    assert any("chemical potential was given for Au:" in sentence for sentence in given.warnings)


def test_nobody_to_jump():
    result = vacancy(auricupride(), min_length=3.6, migration=True, n_images=1, max_steps=3)
    assert result.sites[0].hop is None
    assert any("no other Au to jump" in sentence for sentence in result.warnings)


def test_size_of_the_supercell_is_said():
    result = vacancy(copper(), min_length=5.0, max_steps=0, relax_bulk=False)
    assert "one vacancy in 8 atoms at constant volume, 5.1 Å from its images" in result.warnings[0]


def test_what_does_not_come_to_rest_is_named():
    result = vacancy(copper(), min_length=7.0, max_steps=0)
    assert not result.converged
    assert any("did not come to rest" in sentence for sentence in result.warnings)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"min_length": 0.0}, "distance above 0"),
        ({"min_length": 1.0}, "has one atom, and nothing is left"),
        ({"mu": {"Fe": 1.0}}, "given for Fe, which the crystal of Cu does not hold"),
        ({"mu": {"Cu": float("nan")}}, "must be a number"),
        ({"fmax": -1.0}, "fmax above 0"),
    ],
)
def test_argument_without_meaning(options, words):
    with pytest.raises(InputError, match=words):
        vacancy(copper(), **options)


def test_what_is_no_crystal():
    water = molecule("H2O")
    water.calc = EMT()
    with pytest.raises(InputError, match="needs a crystal"):
        vacancy(water)
    with pytest.raises(InputError, match="no calculator"):
        vacancy(Atoms("Cu", cell=[3, 3, 3], pbc=True))
