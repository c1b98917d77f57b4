"""All assertions at once, and structures to run them on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk, fcc111
from ase.calculators.calculator import BaseCalculator
from ase.data import atomic_numbers, covalent_radii, reference_states

from ase_symcalc.calculator import SymCalc
from ase_symcalc.potential_files import PotentialCard
from ase_symcalc.testing.assertions import (
    assert_batching_agrees,
    assert_extensive,
    assert_forces_are_gradients,
    assert_hessian_symmetric,
    assert_invariant,
    assert_symmetry_exact,
)
from ase_symcalc.testing.physical import assert_stiff, scan_pair

MOST_IN_BATCH = 4
SIMPLE = ("fcc", "bcc", "hcp", "diamond")


@dataclass(frozen=True, slots=True)
class Check:
    """What one assertion said of one structure."""

    name: str
    """of the assertion"""
    structure: str
    error: str
    """empty if it passed"""

    @property
    def passed(self) -> bool:
        """Whether nothing was wrong."""
        return not self.error


def check(
    calculator: BaseCalculator | Callable[[], BaseCalculator],
    structures: Mapping[str, Atoms],
    *,
    mirror: bool = True,
    tolerance: float = 1e-10,
    on_check: Callable[[Check], object] | None = None,
) -> list[Check]:
    """Run all assertions of this module on some structures.

    Parameters
    ----------
    calculator : ASE calculator, or callable that makes one
        A callable is asked for each structure.
    structures : mapping of str to Atoms
        By name. Dozens of atoms each are enough, and a Hessian takes many evaluations.
    mirror : bool
        As for `assert_invariant`.
    tolerance : float
        What rounding may leave, eV/atom, eV/Å and eV/Å³; derivatives must be right to 1e-6 or
        ten thousand times of it.
    on_check : callable, optional
        Receives each `Check` as soon as it is done.

    Returns
    -------
    list of Check
        Batches are checked for a `SymCalc` of one potential only. An assertion that ends in
        another error than AssertionError has failed with it.
    """
    derivative = max(1e-6, 1e4 * tolerance)
    done: list[Check] = []
    for name, atoms in structures.items():
        calc = calculator if isinstance(calculator, BaseCalculator) else calculator()
        checks: dict[str, Callable[[], None]] = {
            "forces are gradients": partial(
                assert_forces_are_gradients, calc, atoms, tolerance=derivative
            ),
            "hessian symmetric": partial(
                assert_hessian_symmetric, calc, atoms, tolerance=derivative
            ),
            "invariant": partial(assert_invariant, calc, atoms, mirror=mirror, tolerance=tolerance),
            "symmetry exact": partial(
                assert_symmetry_exact, calc, atoms, mirror=mirror, tolerance=100 * tolerance
            ),
            "extensive": partial(assert_extensive, calc, atoms, tolerance=tolerance),
        }
        if isinstance(calc, SymCalc) and len(calc.potentials) == 1:
            batch = [atoms, *structures.values()]
            checks["batching agrees"] = partial(
                assert_batching_agrees,
                calc.potentials[0],
                batch[:MOST_IN_BATCH],
                tolerance=tolerance,
            )
        for what, run in checks.items():
            done.append(Check(what, name, _failure(run)))
            if on_check:
                on_check(done[-1])
    return done


def check_distances(
    calc: BaseCalculator,
    card: PotentialCard,
    most: int = 8,
    on_check: Callable[[Check], object] | None = None,
) -> list[Check]:
    """Scan pairs from 0.2 Å to the cutoff, and squeeze elements to half of their volume.

    Parameters
    ----------
    calc : ASE calculator
    card : PotentialCard
        Its pairs are scanned; every element with itself if it lists none.
    most : int
        Pairs, and elements, that are taken at most.
    on_check : callable, optional
        As for `check`.

    Returns
    -------
    list of Check
        See `PairScan.faults` and `assert_stiff` for what is wrong. Elements are squeezed from
        the lattice and volume they have in nature, if the lattice is a simple one.
    """
    pairs = [tuple(p.split("-")) for p in card.pairs] or [(e, e) for e in card.elements]
    done = []
    for first, second in _spread(pairs, most):
        faults = scan_pair(calc, first, second, card.cutoff).faults
        done.append(Check("two atoms", f"{first}-{second}", "; ".join(faults)))
        if on_check:
            on_check(done[-1])
    simple = [first for first, second in pairs if first == second and _lattice(first) in SIMPLE]
    for symbol in _spread(simple, most):
        run = partial(assert_stiff, calc, bulk(symbol))
        done.append(Check("squeezed", f"{symbol} {_lattice(symbol)}", _failure(run)))
        if on_check:
            on_check(done[-1])
    return done


def structures_of(card: PotentialCard, most: int = 8) -> dict[str, Atoms]:
    """Small structures to check a potential on, of its elements and of pairs it has met.

    In turn a perfect crystal, one shaken, a slab and a cluster; of compounds rocksalt, perfect
    and shaken. Neighbours are as far apart as covalent radii say.

    Parameters
    ----------
    card : PotentialCard
    most : int
        Elements, and pairs, that are taken at most.
    """
    made = {}
    for i, symbol in enumerate(_spread(card.elements, most)):
        kind, build = KINDS[i % len(KINDS)]
        made[f"{symbol} {kind}"] = build(symbol)
    mixed = [pair for pair in card.pairs if len(set(pair.split("-"))) == 2]
    for i, pair in enumerate(_spread(mixed, most)):
        first, second = pair.split("-")
        kind, compound = COMPOUNDS[i % len(COMPOUNDS)]
        made[f"{pair} {kind}"] = compound(first, second)
    return made


def _lattice(symbol: str) -> str:
    return str((reference_states[atomic_numbers[symbol]] or {}).get("symmetry", ""))


def _spread(every: Sequence[Any], most: int) -> list[Any]:
    """As many as that, from first to last."""
    places = np.linspace(0, len(every) - 1, min(most, len(every)))
    return [every[i] for i in places.round().astype(int)]


def _bond(first: str, second: str) -> float:
    return float(covalent_radii[[atomic_numbers[first], atomic_numbers[second]]].sum())


def _crystal(symbol: str) -> Atoms:
    return bulk(symbol, "diamond", a=_bond(symbol, symbol) * 4 / np.sqrt(3))


def _shaken_crystal(symbol: str) -> Atoms:
    return _shaken(bulk(symbol, "fcc", a=_bond(symbol, symbol) * np.sqrt(2), cubic=True))


def _slab(symbol: str) -> Atoms:
    return _shaken(fcc111(symbol, (1, 2, 3), a=_bond(symbol, symbol) * np.sqrt(2), vacuum=6.0))


def _cluster(symbol: str) -> Atoms:
    atoms = _shaken_crystal(symbol)
    return Atoms(atoms.symbols, atoms.positions)


def _rocksalt(first: str, second: str) -> Atoms:
    return bulk(first + second, "rocksalt", a=2 * _bond(first, second))


def _shaken_rocksalt(first: str, second: str) -> Atoms:
    return _shaken(bulk(first + second, "rocksalt", a=2 * _bond(first, second), cubic=True))


def _shaken(atoms: Atoms) -> Atoms:
    atoms.rattle(0.05, rng=np.random.default_rng(7))
    return atoms


KINDS: tuple[tuple[str, Callable[[str], Atoms]], ...] = (
    ("crystal", _crystal),
    ("shaken crystal", _shaken_crystal),
    ("slab", _slab),
    ("cluster", _cluster),
)
COMPOUNDS: tuple[tuple[str, Callable[[str, str], Atoms]], ...] = (
    ("rocksalt", _rocksalt),
    ("shaken rocksalt", _shaken_rocksalt),
)


def _failure(run: Callable[[], None]) -> str:
    """Run a check; what was wrong, in one line."""
    try:
        run()
    except AssertionError as error:
        return " ".join(str(error).split())
    except Exception as error:  # calculators fail in many ways
        return " ".join(f"{type(error).__name__}: {error}".split())
    return ""
