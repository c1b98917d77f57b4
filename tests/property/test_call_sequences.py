"""Whatever was asked of a calculator before, it answers as a fresh one does."""

import copy
import pickle
import threading
import warnings

import numpy as np
import pytest
from ase.calculators.calculator import (
    CalculationFailed,
    InputError,
    PropertyNotImplementedError,
)
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from ase_symcalc import SymCalc, load_potential
from tests.property.interruption import interrupted
from tests.property.strategies import ELEMENTS, PERFECT, atoms, integers, vectors

TYPED = (InputError, PropertyNotImplementedError, CalculationFailed)
PROPERTIES = SymCalc.implemented_properties
ROUNDING = {"float64": 1e-10, "float32": 2e-5}
"""Of the largest number: symmetry sums in another order, and may be noticed a call later."""
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "dtype": st.sampled_from(["float64", "float32"]),
        "symmetry": st.sampled_from(["auto", "off", 1e-6]),
        "skin": st.sampled_from([0.0, 0.3, 1.0, 2.5]),
        "potential": st.sampled_from(["one", "other", "both"]),
    },
)
QUESTIONS = {
    **{name: lambda calc, at, name=name: calc.get_property(name, at) for name in PROPERTIES},
    "through atoms": lambda calc, at: _attached(calc, at).get_forces(),
    "together": lambda calc, at: _attached(calc, at).get_properties(["energy", "forces"])["forces"],
    "direct": lambda calc, at: (calc.calculate(at, ["forces"]), calc.results["forces"])[1],
    "hessian": lambda calc, at: calc.get_hessian(at),
    "strain derivatives": lambda calc, at: calc.get_strain_derivatives(at)[1],
    "descriptors": lambda calc, at: calc.get_descriptors(at),
    "uncertainty": lambda calc, at: calc.get_uncertainty(at),
}
COPIES = {
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
    "pickle": lambda calc: pickle.loads(pickle.dumps(calc)),
    "with atoms": lambda calc: copy.deepcopy(_attached(calc, PERFECT["cubic"].copy())).calc,
    "settings": lambda calc: SymCalc(**calc.todict()),
}


def _attached(calc, at):
    at = at.copy()
    at.calc = calc
    return at


def outcome(question, calc, at):
    """Numbers, or the type of an error that is meant for people."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            return np.asarray(question(calc, at))
        except TYPED as error:
            return type(error) if len(str(error)) > 20 else error


class Calls(RuleBasedStateMachine):
    """Two calculators and two structures, and all that may be done with them."""

    folders: dict = {}  # noqa: RUF012  (set by the fixture)

    @initialize(first=atoms(), second=atoms(), options=SETTINGS)
    def start(self, first, second, options):
        self.structures = [first, second]
        options = {"potential": "one", **options}
        self.calcs = [self.fresh(options), self.fresh(options)]
        self.options = [dict(options), dict(options)]

    def fresh(self, options):
        options = dict(options)
        name = options.pop("potential")
        return SymCalc(self.potential(name, options.get("dtype", "float64")), **options)

    def potential(self, name, dtype):
        # those of "other" by their folders, so that potentials are also read again
        loaded = {
            key: load_potential(folder, dtype=dtype) if key == "one" else folder
            for key, folder in self.folders.items()
        }
        return list(loaded.values()) if name == "both" else loaded[name]

    which = st.sampled_from([0, 1])

    # --- what happens to structures ------------------------------------------------

    @rule(n=which, size=st.sampled_from([1e-3, 0.05, 0.4, 3.0]), data=st.data())
    def move(self, n, size, data):
        at = self.structures[n]
        at.positions += size * data.draw(vectors(len(at), -1.0, 1.0))

    @rule(n=which, data=st.data())
    def jump_by_lattice_vectors(self, n, data):
        at = self.structures[n]
        at.positions += (data.draw(integers(len(at), 2)) * at.pbc) @ at.cell.array

    @rule(n=which, size=st.sampled_from([0.01, 0.3]), scale=st.booleans(), data=st.data())
    def strain(self, n, size, scale, data):
        at = self.structures[n]
        strain = np.eye(3) + size * data.draw(vectors(3, -1.0, 1.0))
        scale &= at.cell.rank == 3 and bool(np.isfinite(at.positions).all())
        at.set_cell(at.cell.array @ strain, scale_atoms=scale)

    @rule(n=which)
    def exchange_cell_vectors(self, n):
        at = self.structures[n]
        at.set_cell(at.cell.array[[1, 0, 2]])
        at.pbc = at.pbc[[1, 0, 2]]

    @rule(n=which, axis=st.integers(0, 2))
    def turn_repeating(self, n, axis):
        self.structures[n].pbc[axis] ^= True

    @rule(n=which, at=st.integers(0, 9), symbol=st.sampled_from((*ELEMENTS, "Fe", "X")))
    def change_species(self, n, at, symbol):
        if len(self.structures[n]):
            self.structures[n].symbols[at % len(self.structures[n])] = symbol

    @rule(n=which, symbol=st.sampled_from(ELEMENTS), place=vectors(1, -3.0, 3.0))
    def add(self, n, symbol, place):
        self.structures[n].append(symbol)
        self.structures[n].positions[-1] = place[0]

    @rule(n=which, at=st.integers(0, 9))
    def delete(self, n, at):
        if len(self.structures[n]):
            del self.structures[n][at % len(self.structures[n])]

    @rule(n=which)
    def wrap(self, n):
        at = self.structures[n]
        if np.isfinite(at.positions).all() and at.cell.any(1)[at.pbc].all():
            at.wrap()

    @rule(n=which, value=st.sampled_from([np.nan, np.inf, 1e10, 0.0]))
    def spoil(self, n, value):
        if len(self.structures[n]):
            self.structures[n].positions[0] = value

    @rule(n=which, name=st.sampled_from(sorted(PERFECT)), repeat=st.sampled_from([1, 1, 2]))
    def make_perfect(self, n, name, repeat):
        self.structures[n] = PERFECT[name].copy()
        for axis in np.flatnonzero(self.structures[n].pbc)[:1]:
            self.structures[n] *= np.where(np.arange(3) == axis, repeat, 1).tolist()

    @rule(n=which)
    def take_the_other(self, n):
        self.structures[n] = self.structures[1 - n].copy()

    # --- what happens to calculators -----------------------------------------------

    @rule(n=which, changes=SETTINGS)
    def change_settings(self, n, changes):
        self.options[n].update(changes)
        now = dict(changes)
        if now.keys() & {"potential", "dtype"}:
            dtype = self.options[n].get("dtype", "float64")
            now["potential"] = self.potential(self.options[n]["potential"], dtype)
        self.calcs[n].set(**now)

    @rule(n=which, bad=st.sampled_from([{"skin": -1.0}, {"dtype": "half"}, {"potential": "none"}]))
    def refuse_settings(self, n, bad):
        with pytest.raises(Exception, match="expected"):
            self.calcs[n].set(symmetry="off", **bad)

    @rule(n=which)
    def reset(self, n):
        self.calcs[n].reset()

    @rule(n=which, how=st.sampled_from(sorted(COPIES)))
    def replace_by_a_copy(self, n, how):
        self.calcs[n], self.options[n] = COPIES[how](self.calcs[n]), dict(self.options[n])

    @rule()
    def share_one(self):
        self.calcs[1], self.options[1] = self.calcs[0], self.options[0]

    # --- what is asked ----------------------------------------------------------------

    @rule(n=which, m=which, name=st.sampled_from(sorted(QUESTIONS)), edit=st.booleans())
    def ask(self, n, m, name, edit):
        at = self.structures[m]
        before = copy.deepcopy((at.arrays, at.cell.array, at.pbc, at.info))
        answer = outcome(QUESTIONS[name], self.calcs[n], at)
        self.compare(n, name, at, answer)
        after = (at.arrays, at.cell.array, at.pbc, at.info)
        np.testing.assert_equal(after, before)
        if edit and isinstance(answer, np.ndarray) and name != "direct" and answer.ndim:
            answer[...] = 7.0  # ours to write to

    @rule(n=which, m=which, name=st.sampled_from(PROPERTIES))
    def ask_what_is_known(self, n, m, name):
        at = self.structures[m]
        known = self.calcs[n].get_property(name, at, allow_calculation=False)
        if known is not None:
            self.compare(n, name, at, np.asarray(known))

    @rule(n=which, m=which, name=st.sampled_from(PROPERTIES))
    def ask_in_a_thread(self, n, m, name):
        found = []
        at = self.structures[m]
        thread = threading.Thread(
            target=lambda: found.append(outcome(QUESTIONS[name], self.calcs[n], at))
        )
        thread.start()
        thread.join()
        self.compare(n, name, at, found[0])

    @rule(
        n=which,
        m=which,
        name=st.sampled_from(sorted(QUESTIONS)),
        moment=st.integers(1, 500),
    )
    def ask_and_interrupt(self, n, m, name, moment):
        at = self.structures[m]
        interrupted(lambda: outcome(QUESTIONS[name], self.calcs[n], at), moment)

    @rule(n=which, changes=SETTINGS.filter(bool), moment=st.integers(1, 60))
    def change_settings_and_interrupt(self, n, changes, moment):
        now = dict(changes)
        if now.keys() & {"potential", "dtype"}:
            now = {**self.options[n], **now}
            now["potential"] = self.potential(now["potential"], now.get("dtype", "float64"))
        done = not interrupted(lambda: self.calcs[n].set(**now), moment)
        if done or all(self.calcs[n].parameters[key] == value for key, value in now.items()):
            self.options[n].update(changes)

    def compare(self, n, name, at, answer):
        expected = outcome(QUESTIONS[name], self.fresh(self.options[n]), at.copy())
        if not isinstance(expected, np.ndarray):
            assert answer is expected
            return
        assert isinstance(answer, np.ndarray), answer
        assert answer.shape == expected.shape
        near = ROUNDING[self.options[n].get("dtype", "float64")]
        size = max(1.0, float(np.abs(expected).max(initial=0.0)))
        np.testing.assert_allclose(answer, expected, rtol=0, atol=near * size)


@pytest.fixture(autouse=True)
def _folders(potential_folder, other_folder):
    Calls.folders = {"one": potential_folder, "other": other_folder}


BOUNDED = settings(
    max_examples=20,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def test_calls_in_any_order():
    run(BOUNDED)


@pytest.mark.long
def test_calls_in_any_order_for_long():
    run(settings(BOUNDED, max_examples=1500, stateful_step_count=60))


def run(how):
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(Calls, settings=how)
