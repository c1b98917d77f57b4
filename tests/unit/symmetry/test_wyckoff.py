"""Wyckoff letters, labels and pooled features: the same for every description of a crystal."""

import itertools

import numpy as np
import pytest
import spglib
from ase import Atoms
from ase.build import bulk, fcc111, make_supercell
from ase.calculators.calculator import InputError as AseInputError
from ase.spacegroup import crystal

from ase_symcalc import SymCalc
from ase_symcalc.errors import InputError
from ase_symcalc.symmetry import pool_wyckoff, wyckoff_sites
from ase_symcalc.symmetry.normaliser import relabellings
from ase_symcalc.symmetry.positions import GENERIC, LETTERS, METRIC, space_group_type
from tests.tolerances import TIGHT
from tests.unit.symmetry.test_groups import rutile

# spglib 2.8 tells every caller that its way of failing will change

# the first setting of each space group is the standard one
HALL = {spglib.get_spacegroup_type(hall).number: hall for hall in range(530, 0, -1)}


def spinel():
    sites = [(1 / 8, 1 / 8, 1 / 8), (0.5, 0.5, 0.5), (0.262, 0.262, 0.262)]
    return crystal("MgAlO", sites, spacegroup=227, setting=2, cellpar=[8.08] * 3 + [90] * 3)


def corundum(primitive=False):
    sites, edges = [(0, 0, 0.352), (0.306, 0, 0.25)], [4.76, 4.76, 12.99, 90, 90, 120]
    return crystal("AlO", sites, spacegroup=167, cellpar=edges, primitive_cell=primitive)


def quartz():
    sites, edges = [(0.4697, 0, 2 / 3), (0.4135, 0.2669, 0.7858)], [4.9, 4.9, 5.4, 90, 90, 120]
    return crystal("SiGe", sites, spacegroup=154, cellpar=edges)


def perovskite():
    sites = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0)]
    return crystal("SrTiO", sites, spacegroup=221, cellpar=[3.9] * 3 + [90] * 3)


def feldspar():
    """Monoclinic, centred; two orbits of one element and letter, and exchangeable letters."""
    sites = [(0, 0.5, 0.5), (0.25, 0.25, 0), (0.1, 0.2, 0.3), (0.4, 0.13, 0.21), (0, 0.4, 0.25)]
    return crystal("LiLiSiSiGe", sites, spacegroup=15, cellpar=[7.1, 8.3, 6.2, 90, 105, 90])


def triclinic():
    """Four of eight sites that only the origin tells apart, two of them of one element."""
    sites = [(0, 0, 0), (0.5, 0.5, 0), (0, 0.5, 0.5), (0.21, 0.32, 0.13), (0.4, 0.1, 0.26)]
    return crystal("LiSiLiSiGe", sites, spacegroup=2, cellpar=[5.1, 6.3, 7.2, 80, 95, 108])


def descriptions(atoms):
    """Yield the same crystal, described otherwise."""
    rng = np.random.default_rng(3)
    shifted = atoms.copy()
    shifted.positions += (0.37, 1.23, -2.11)
    shifted = shifted[rng.permutation(len(atoms))]
    shifted.rotate(71, (1, -2, 3), rotate_cell=True)
    yield shifted
    half = atoms.copy()
    half.positions += 0.5 * atoms.cell[0]
    yield half
    yield make_supercell(atoms, [[1, 1, 0], [0, 1, 0], [0, 0, 2]])
    yield make_supercell(shifted, [[0, 1, 0], [0, 1, 1], [1, -2, 0]])
    left_handed = atoms.copy()
    left_handed.set_cell(atoms.cell.array[[1, 0, 2]])
    yield left_handed
    cell, positions, numbers = spglib.find_primitive(
        (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
    )
    yield Atoms(numbers, scaled_positions=positions, cell=cell, pbc=True)


@pytest.mark.parametrize(
    ("atoms", "label"),
    [
        (bulk("Cu"), "A_cF4_225_a:Cu"),
        (bulk("W"), "A_cI2_229_a:W"),
        (bulk("Ti"), "A_hP2_194_c:Ti"),
        (bulk("Si"), "A_cF8_227_a:Si"),
        (bulk("NaCl", "rocksalt", a=5.6), "AB_cF8_225_a_b:Cl-Na"),
        (bulk("CsCl", "cesiumchloride", a=4.1), "AB_cP2_221_a_b:Cl-Cs"),
        (bulk("CaF2", "fluorite", a=5.46), "AB2_cF12_225_a_c:Ca-F"),
        (bulk("GaAs", "zincblende", a=5.65), "AB_cF8_216_a_c:As-Ga"),
        (bulk("ZnO", "wurtzite", a=3.25, c=5.2), "AB_hP4_186_b_b:O-Zn"),
        (rutile(), "A2B_tP6_136_f_a:O-Ti"),
        (corundum(), "A2B3_hR10_167_c_e:Al-O"),
        (corundum(primitive=True), "A2B3_hR10_167_c_e:Al-O"),
        (perovskite(), "A3BC_cP5_221_c_a_b:O-Sr-Ti"),
        (spinel(), "A2BC4_cF56_227_c_b_e:Al-Mg-O"),
        (quartz(), "A2B_hP9_154_c_a:Ge-Si"),
        (feldspar(), "AB2C4_mC28_15_e_ac_2f:Ge-Li-Si"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_labels_are_those_of_prototypes(atoms, label):
    assert wyckoff_sites(atoms).label == label


def test_each_atom_knows_its_orbit():
    atoms = spinel()
    sites = wyckoff_sites(atoms)
    assert sites.elements == ("Al", "Mg", "O")
    assert sites.letters == ("c", "b", "e")
    assert sites.multiplicities.tolist() == [16, 8, 32]
    assert sites.site_symmetries == (".-3m", "-43m", ".3m")
    assert [sites.elements[orbit] for orbit in sites.orbits] == atoms.get_chemical_symbols()
    assert sites.other_letters == ()
    primitive = wyckoff_sites(bulk("Cu") * (2, 3, 1))
    assert primitive.multiplicities.tolist() == [4]
    assert primitive.orbits.tolist() == [0] * 6


@pytest.mark.parametrize(
    "make",
    [spinel, corundum, quartz, perovskite, feldspar, triclinic],
    ids=lambda make: make.__name__,
)
def test_labels_do_not_depend_on_the_description(make):
    sites = wyckoff_sites(make())
    for other in descriptions(make()):
        found = wyckoff_sites(other)
        assert found.label == sites.label
        assert found.letters == sites.letters
        assert found.site_symmetries == sites.site_symmetries
        assert found.multiplicities.tolist() == sites.multiplicities.tolist()


def occupied(group, sites):
    """Orbits of sites (symbol, coordinates) in a cell with the metric of the group alone."""
    coordinates, symbols = [], []
    for symbol, site in sites:
        images = (group.rotations @ site + group.translations + 1e-9) % 1
        _, first = np.unique(images.round(6), axis=0, return_index=True)
        coordinates += images[first].tolist()
        symbols += [symbol] * len(first)
    metric = np.mean(group.rotations.transpose(0, 2, 1) @ METRIC @ group.rotations, axis=0)
    cell = np.linalg.cholesky(metric)
    return Atoms(symbols, scaled_positions=coordinates, cell=cell, pbc=True)


@pytest.mark.parametrize("number", [2, 3, 10, 14, 15, 16, 22, 47, 69, 81, 123, 148, 174, 195, 216])
def test_occupations_that_differ_by_the_setting_only_have_one_label(number):
    group, rng = space_group_type(HALL[number]), np.random.default_rng(number)
    site_of = {position.letter: site for position, site in group.catalogue.values()}
    general = max(site_of, key=LETTERS.index)
    chosen = [*rng.choice(sorted(site_of.keys() - {general}), size=3, replace=False), general]
    ways = relabellings(HALL[number])
    found = set()
    for way in rng.choice(len(ways), size=min(8, len(ways)), replace=False):
        sites = [site_of[ways[way][letter]] for letter in chosen] + [3.37 * GENERIC]
        atoms = occupied(group, zip(["Li", "Ge", "Ge", "Mo", "Cu"], sites, strict=True))
        found.add(wyckoff_sites(atoms).label)
    (label,) = found
    assert f"_{number}_" in label


@pytest.mark.parametrize(
    "number", [1, 5, 29, 47, 62, 68, 82, 109, 146, 167, 194, 199, 214, 227, 230]
)
def test_every_position_of_a_space_group_is_found(number):
    positions = space_group_type(HALL[number]).positions
    letters = list(positions)
    assert "".join(letters) == LETTERS[: len(letters)]
    multiplicities = [positions[letter].multiplicity for letter in letters]
    assert multiplicities == sorted(multiplicities)
    assert multiplicities[-1] == len(space_group_type(HALL[number]).rotations)
    assert positions[letters[-1]].site_symmetry == "1"


def test_positions_are_those_of_international_tables():
    positions = space_group_type(HALL[227]).positions.values()
    assert [position.multiplicity for position in positions] == [8, 8, 16, 16, 32, 48, 96, 96, 192]
    positions = space_group_type(HALL[47]).positions
    assert (positions["A"].multiplicity, positions["z"].site_symmetry) == (8, "..m")
    assert len(positions) == 27


@pytest.mark.parametrize(
    ("number", "sets", "order"),
    [  # International Tables A, table 3.5.2.. and Koch & Fischer: sets of exchangeable letters
        (1, "a", 1),
        (2, "abcdefgh i", 1344),  # all affine maps of eight points: 2³ · |GL(3, 2)|
        (62, "ab c d", 2),
        (68, "ab cd ef g h i", 4),  # the thread's example: g and h have one site symmetry
        (139, "ab c d e f g h ij k l m n o", 2),
        (166, "ab c de fg h i", 2),
        (194, "a b cd e f g h i j k l", 2),
        (216, "abcd e fg h i", 8),
        (225, "ab c d e f g hi j k l", 2),
        (227, "ab cd e f g h i", 2),
        (230, "a b c d e f g h", 1),
    ],
)
def test_letters_are_exchanged_as_origins_are(number, sets, order):
    ways = relabellings(HALL[number])
    assert len(ways) == order
    assert all(new == old for old, new in ways[0].items())
    found = {"".join(sorted({way[letter] for way in ways})) for letter in ways[0]}
    assert " ".join(sorted(found)) == sets


def test_sites_that_exchange_by_a_shift_stay_distinct():
    atoms = triclinic()
    sites = wyckoff_sites(atoms)
    assert sites.label == "A2B2C3_aP7_2_i_ab_ci:Ge-Li-Si"
    lithium = [way[1:3] for way in (sites.letters, *sites.other_letters)]
    assert set(lithium) == {("a", "b"), ("b", "a")}
    features = np.arange(len(atoms), dtype=float)[:, None]
    pooled = pool_wyckoff(features, atoms)
    assert pooled.elements == ("Ge", "Li", "Li", "Si", "Si")
    assert pooled.letters == ("i", "a", "b", "c", "i")
    assert len(np.unique(pooled.rows)) == 5
    assert pooled.rows[1] < pooled.rows[2]


@pytest.mark.parametrize("make", [quartz, triclinic, feldspar], ids=lambda make: make.__name__)
def test_pooled_descriptors_do_not_depend_on_the_description(calc, make):
    atoms = make()
    rows = calc.get_descriptors(atoms, pool="wyckoff")
    each = calc.get_descriptors(atoms)
    pooled = pool_wyckoff(each, atoms)
    assert len(rows) == len(np.unique(wyckoff_sites(atoms).orbits))
    np.testing.assert_array_equal(rows, pooled.rows)
    np.testing.assert_allclose(pooled.material, each.mean(axis=0), atol=TIGHT)
    for other in itertools.islice(descriptions(atoms), 4):
        again = pool_wyckoff(calc.get_descriptors(other), other)
        np.testing.assert_allclose(again.rows, rows, atol=TIGHT)
        np.testing.assert_allclose(again.material, pooled.material, atol=TIGHT)
        assert (again.letters, again.elements) == (pooled.letters, pooled.elements)
        np.testing.assert_array_equal(again.multiplicities, pooled.multiplicities)


def test_distinct_sites_of_equal_symmetry_have_distinct_rows(calc):
    atoms = crystal(
        "LiSi", [(0, 0, 0), (0.5, 0.5, 0.5)], spacegroup=225, cellpar=[5.1] * 3 + [90] * 3
    )
    rows = calc.get_descriptors(atoms, pool="wyckoff")
    assert rows.shape[0] == 2
    assert abs(rows[0] - rows[1]).max() > 1e-3


def test_orbits_are_those_of_the_calculators_tolerance(potential):
    atoms = quartz()
    atoms.rattle(1e-3, seed=1)
    strict = SymCalc(potential).get_descriptors(atoms, pool="wyckoff")
    lax = SymCalc(potential, symmetry=0.02).get_descriptors(atoms, pool="wyckoff")
    off = SymCalc(potential, symmetry="off").get_descriptors(atoms, pool="wyckoff")
    assert (len(strict), len(lax), len(off)) == (9, 2, 9)


def test_what_has_no_wyckoff_positions_is_refused(calc, silicon):
    slab = fcc111("Ni", (1, 1, 3), vacuum=5)
    with pytest.raises(InputError, match=r"got 3 atoms with pbc \[True, True, False\]"):
        wyckoff_sites(slab)
    with pytest.raises(AseInputError, match="repeat along all three directions"):
        calc.get_descriptors(slab, pool="wyckoff")
    with pytest.raises(AseInputError, match="expected invariant=True with pool='wyckoff'"):
        calc.get_descriptors(silicon, invariant=False, pool="wyckoff")
    with pytest.raises(InputError, match="expected one row of features for each of 8 atoms"):
        pool_wyckoff(np.zeros((7, 2)), silicon)
