"""Any structure at all: an answer that obeys physics, or a sentence."""

import warnings
from contextlib import suppress

import numpy as np
from ase import Atoms
from ase.build import make_supercell
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from ase_symcalc import SymCalc
from tests.property.strategies import ELEMENTS, atoms, integers, lattice_changes, numbers, vectors
from tests.property.test_call_sequences import TYPED

bounded = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
SKINS, SYMMETRIES = st.sampled_from([0.0, 1.0]), st.sampled_from(["auto", "off"])
RELATIVE = 1e-9
"""Of the largest number of two sums in different orders."""


def answers(calc, at):
    """Energy, forces and, where there is a volume, stress."""
    names = ["energy", "forces"]
    if at.cell.rank == 3 and at.pbc.any():
        names.append("stress")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return {name: np.asarray(calc.get_property(name, at)) for name in names}


def answered(calc, at):
    """As `answers`; structures that are refused are of no use to a test."""
    try:
        found = answers(calc, at)
    except TYPED:
        assume(False)
    return found


def assert_same(one, other):
    assert one.keys() == other.keys()
    size = max(1.0, *(float(np.abs(value).max()) for value in one.values()))
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=0, atol=RELATIVE * size)


WILD = st.one_of(
    numbers(-10.0, 10.0),
    st.floats(width=64),
    st.sampled_from([0.0, 1e-300, 1e-9, 0.05, 1e5, 1e9, 1e300, np.inf, np.nan]),
)


@st.composite
def wild(draw):
    """Structures that nobody means: any numbers anywhere, any species."""
    n = draw(st.integers(0, 4))
    species = draw(st.lists(st.integers(0, 118), min_size=n, max_size=n))
    known = [14 if draw(st.booleans()) else number for number in species]
    return Atoms(
        numbers=known,
        positions=draw(npst.arrays(np.float64, (n, 3), elements=WILD)),
        cell=draw(npst.arrays(np.float64, (3, 3), elements=WILD)),
        pbc=draw(npst.arrays(bool, 3)),
    )


@bounded
@given(at=wild(), skin=SKINS, symmetry=SYMMETRIES)
def test_any_numbers_are_answered_or_refused(potential, at, skin, symmetry):
    before = [at.positions.copy(), at.cell.array.copy(), at.pbc.copy(), at.numbers.copy()]
    with suppress(*TYPED):
        for value in answers(SymCalc(potential, skin=skin, symmetry=symmetry), at).values():
            assert np.isfinite(value).all()
    np.testing.assert_equal([at.positions, at.cell.array, at.pbc, at.numbers], before)


@bounded
@given(at=atoms(), data=st.data())
def test_neither_skin_nor_symmetry_nor_lattice_vectors_change_the_answer(potential, at, data):
    expected = answered(SymCalc(potential, skin=0.0, symmetry="off"), at)
    other = SymCalc(potential, skin=data.draw(SKINS), symmetry="auto")
    assert_same(answers(other, at), expected)
    at.positions += (data.draw(integers(len(at), 5)) * at.pbc) @ at.cell.array
    assert_same(answers(other, at), expected)


@bounded
@given(at=atoms(), data=st.data())
def test_other_cell_vectors_of_the_same_lattice_change_nothing(potential, at, data):
    calc = SymCalc(potential)
    expected = answered(calc, at)
    at.set_cell(data.draw(lattice_changes(at.pbc)) @ at.cell.array)
    assert_same(answers(calc, at), expected)


@bounded
@given(at=atoms(), data=st.data())
def test_renumbering_and_repeating(potential, at, data):
    calc = SymCalc(potential)
    expected = answered(calc, at)
    order = np.array(data.draw(st.permutations(range(len(at)))))
    found = answers(calc, at[order])
    assert_same(found, expected | {"forces": expected["forces"][order]})
    if "stress" in expected and at.pbc.all():
        large = answers(calc, make_supercell(at, np.diag([1, 2, 1]), order="cell-major"))
        forces = np.concatenate([expected["forces"]] * 2)
        assert_same(large, expected | {"energy": 2 * expected["energy"], "forces": forces})


@bounded
@given(at=atoms(), turn=vectors(3, -1.0, 1.0))
def test_turning_everything_turns_the_forces(potential, at, turn):
    rotation, _ = np.linalg.qr(turn + 1.5 * np.eye(3))  # of either handedness
    calc = SymCalc(potential)
    expected = answered(calc, at)
    turned = Atoms(at.numbers, at.positions @ rotation, cell=at.cell.array @ rotation, pbc=at.pbc)
    found = answers(calc, turned)
    for one in (found, expected):
        one.pop("stress", None)
    assert_same(found, expected | {"forces": expected["forces"] @ rotation})


@bounded
@given(at=atoms(), symbol=st.sampled_from(ELEMENTS), place=vectors(1, -1.0, 1.0))
def test_an_atom_beyond_reach_changes_nothing(potential, at, symbol, place):
    assume(not at.pbc.all())
    calc = SymCalc(potential, symmetry="off")  # a far atom may break it by as little as is allowed
    expected = answered(calc, at)
    across = np.linalg.svd(np.where(at.pbc[:, None], at.cell.array, 0.0))[2][-1]
    assume(np.abs(at.cell.array[at.pbc] @ across).max(initial=0.0) < 1e-9)
    far = np.abs(at.positions @ across).max() + 30.0
    alone = Atoms(symbol, [place[0]])
    alone.positions += (far - alone.positions[0] @ across) * across
    alone.set_cell(at.cell)
    alone.pbc = at.pbc
    apart = answered(calc, alone)
    both = answers(calc, at + alone)
    size = max(1.0, abs(float(expected["energy"])), np.abs(expected["forces"]).max())
    np.testing.assert_allclose(
        both["energy"], expected["energy"] + apart["energy"], rtol=0, atol=RELATIVE * size
    )
    np.testing.assert_allclose(
        both["forces"][:-1], expected["forces"], rtol=0, atol=RELATIVE * size
    )
