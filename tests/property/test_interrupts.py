"""Ctrl-C at any moment: the next answer is a fresh calculator's."""

import signal

import numpy as np
import pytest
from ase.build import bulk

from ase_symcalc import SymCalc, load_potential
from ase_symcalc.inference.memory import Pile
from tests.property.interruption import interrupted, moments_of
from tests.tolerances import TIGHT
from tests.zoo import zoo

PERFECT = bulk("NiMo", "rocksalt", a=5.0, cubic=True)
MOMENTS = 25
"""About so many of a call are tried."""


def exchanged():
    """The same symmetry, other species."""
    atoms = PERFECT.copy()
    atoms.numbers[:] = atoms.numbers[::-1]
    return atoms


def defect():
    """As many atoms at the same places, and less symmetry."""
    atoms = PERFECT.copy()
    atoms.numbers[0] = 14
    return atoms


PAIRS = {
    "symmetry of another crystal": (PERFECT, exchanged()),
    "less symmetry": (PERFECT, defect()),
    "symmetry lost": (PERFECT, zoo()["nimo_rocksalt"]),
    "another number of atoms": (zoo()["ge_rattled_supercell"], zoo()["si_cluster"]),
}


def fresh(potential, *every):
    return [SymCalc(potential).get_property("forces", atoms) for atoms in every]


def check(calc, every, expected):
    for atoms, forces in zip(every, expected, strict=True):
        found = calc.get_property("forces", atoms)
        np.testing.assert_allclose(found, forces, rtol=0, atol=TIGHT)


@pytest.mark.parametrize("name", PAIRS)
def test_a_calculation_may_be_stopped_at_any_moment(potential, name):
    first, second = PAIRS[name]
    calc = SymCalc(potential)

    def ask():
        calc.reset()
        calc.get_property("forces", first)
        calc.get_property("forces", second)

    ask()
    expected = fresh(potential, first, second)
    step = max(1, moments_of(ask) // MOMENTS)
    for turn, moment in enumerate(range(1, step * MOMENTS, step)):
        interrupted(ask, moment + turn % step)
        order = slice(None, None, -1 if turn % 2 else 1)
        check(calc, [first, second][order], expected[order])


def test_the_first_evaluation_may_be_stopped(potential_folder):
    """While weights are packed and evaluations planned."""
    atoms = zoo()["nimo_rocksalt"]
    known = load_potential(potential_folder)
    expected = fresh(known, atoms)
    n = moments_of(lambda: SymCalc(known).get_property("forces", atoms))
    for moment in np.linspace(1, n, 12).astype(int).tolist():
        potential = load_potential(potential_folder)
        calc = SymCalc(potential)
        interrupted(lambda calc=calc: calc.get_property("forces", atoms), moment)
        check(calc, [atoms], expected)


def test_settings_are_changed_all_or_none(potential, other_folder):
    """Those of another cutoff above all: a list that is too short loses pairs silently."""
    other = load_potential(other_folder)
    atoms = zoo()["ge_rattled_supercell"]
    expected = {each: fresh(each, atoms) for each in (potential, other)}
    calc = SymCalc(other, skin=0.0)
    longer, shorter = {"potential": potential, "skin": 0.5}, {"potential": other, "skin": 0.0}
    for old, new in ((shorter, longer), (longer, shorter)):
        calc.set(**old)
        n = moments_of(lambda new=new: calc.set(**new))
        for moment in (*range(1, n, 1 + n // 10), *range(n - 20, n + 1)):  # most read the cards
            calc.set(**old)
            interrupted(lambda new=new: calc.set(**new), moment)
            now = {name: calc.parameters[name] for name in old}
            assert now in (old, new)
            check(calc, [atoms], expected[now["potential"]])


def test_memory_that_was_interrupted_is_used_again():
    pile = Pile()

    def borrow():
        with pile.borrowed():
            pile.take(3 << 20)
            with pile.borrowed():
                pile.take(5 << 20)

    for moment in range(1, 2 * moments_of(borrow)):
        interrupted(borrow, moment)
        with pile.borrowed():
            array, address = pile.array((1000,), np.float64)
            array[:] = 1
            assert array.ctypes.data == address


# in finalisers and callbacks of the garbage collector Python cannot raise, and reports instead
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_signals_at_random_moments(potential):
    """As the terminal sends them."""
    first, second = PAIRS["symmetry lost"]
    first, second = first * (2, 2, 1), second * (2, 2, 1)
    calc = SymCalc(potential)
    expected = fresh(potential, first, second)
    rng = np.random.default_rng(4)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    stopped = 0
    try:
        for _ in range(60):
            try:
                signal.setitimer(signal.ITIMER_REAL, rng.uniform(1e-4, 2e-2))
                for atoms in (first, second):
                    calc.reset()
                    calc.get_property("forces", atoms)
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                stopped += 1
            check(calc, [first, second], expected)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert stopped
