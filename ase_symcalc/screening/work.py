"""What is done with each structure: settings that make a key, and the work in a worker."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import signal
import threading
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from multiprocessing import parent_process
from typing import Any

import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from ase.io.jsonio import encode

from ase_symcalc.apps.lockstep_crowd import Relaxed
from ase_symcalc.apps.record import structure_digest
from ase_symcalc.apps.relax import check_target, relax
from ase_symcalc.apps.relax_many import relax_many
from ase_symcalc.calculator import SymCalc
from ase_symcalc.errors import InputError, NumericalError, PotentialFileError
from ase_symcalc.potential_files import Potential, load_potential
from ase_symcalc.screening.outcomes import Outcome
from ase_symcalc.screening.properties import APPS
from ase_symcalc.screening.sources import Item
from ase_symcalc.screening.validity import Bounds, invalid

KINDS = ("relax", *APPS)

TIGHT = 1e-3  # eV/Å, or less: properties of a crystal are those of its minimum


@dataclass(frozen=True, slots=True)
class Work:
    """What to do, and with what; the same for every structure of a screen.

    Raises
    ------
    InputError
        If there is no such kind of work, or a setting has no meaning for it.
    """

    kind: str = "relax"
    """One of `KINDS`."""
    potential: str = "default"
    """Name or folder"""
    dtype: str = "float64"
    fmax: float = 0.01
    """eV/Å, of the relaxation; 1e-3 at most before eos, elastic and phonons"""
    cell: bool = True
    max_steps: int = 500
    bounds: Bounds | None = None
    """Structures outside are not worked on."""
    unique: float | None = None
    """Nor are those that are no further than this from one before them; see `Duplicates`."""
    digest: str = ""
    """Of the potential; `settled` fills it in."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(f"there is no work {self.kind!r}; choose one of {', '.join(KINDS)}")
        check_target(self.fmax, self.max_steps)
        if self.unique is not None and not self.unique >= 0:
            raise InputError(f"expected unique to be a distance of 0 or more, got {self.unique}")

    @property
    def settings(self) -> str:
        """JSON of all that a result depends on, beside the structure."""
        values = asdict(self)
        del values["potential"]  # its digest says which, wherever it lies
        return json.dumps(values, sort_keys=True)

    @property
    def settings_hash(self) -> str:
        """Of `settings`, short enough to be read."""
        return hashlib.sha256(self.settings.encode()).hexdigest()[:16]

    def key(self, item: Item) -> str:
        """Name the result of this work on this structure, wherever the structure comes from."""
        what = f"unread {item.label}" if item.atoms is None else _content(item.atoms)
        return hashlib.sha256(f"{what} {self.settings}".encode()).hexdigest()


def settled(work: Work) -> Work:
    """Find the potential, and say which it is.

    Raises
    ------
    InputError, PotentialFileError
        If there is none, or it cannot be read.
    """
    values = {name: getattr(work, name) for name in Work.__slots__}
    potential = load_potential(work.potential, dtype=work.dtype)
    return Work(**values | {"digest": potential.digest})


def prepare(threads: int) -> None:
    """Make a process a worker: it ends with its parent, and leaves Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(threads)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def run_task(work: Work, items: Sequence[tuple[str, Item]]) -> tuple[list[Outcome], list[str]]:
    """Work on some structures, given with their keys; return outcomes and warnings, in order.

    A structure that fails is an outcome with an error.
    """
    with warnings.catch_warnings(record=True) as met:
        warnings.simplefilter("always")
        potential = _potential(work)
        outcomes: dict[str, Outcome] = {}
        sound: list[tuple[str, Item, Atoms]] = []
        for key, item in items:
            error = item.error
            if item.atoms is not None and work.bounds is not None:
                error = invalid(item.atoms, work.bounds)
            if item.atoms is None or error is not None:
                status = "failed" if item.atoms is None else "invalid"
                outcomes[key] = outcome(key, item, work, status, error)
            else:
                sound.append((key, item, item.atoms))
        if work.kind == "relax":
            outcomes |= _relaxed(work, potential, sound)
        else:
            for key, item, atoms in sound:
                outcomes[key] = _alone(work, potential, key, item, atoms)
    return [outcomes[key] for key, _ in items], sorted({str(each.message) for each in met})


def outcome(
    key: str,
    item: Item,
    work: Work,
    status: str,
    error: str | None = None,
    *,
    results: dict[str, Any] | None = None,
    atoms: Atoms | None = None,
) -> Outcome:
    """Say what became of a structure; ``atoms`` is what the work made of it."""
    atoms = item.atoms if atoms is None else atoms
    return Outcome(
        key=key,
        settings=work.settings_hash,
        label=item.label,
        status=status,
        error=error,
        results=results or {},
        atoms=atoms,
    )


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


@functools.lru_cache(maxsize=1)
def _potential(work: Work) -> Potential:
    potential = load_potential(work.potential, dtype=work.dtype)
    if potential.digest != work.digest:
        raise PotentialFileError(
            f"the files of potential {work.potential} are not those that the screen began with"
        )
    return potential


def _content(atoms: Atoms) -> str:
    held = [c.index.tolist() for c in atoms.constraints if isinstance(c, FixAtoms)]
    others = [_of_constraint(c) for c in atoms.constraints if not isinstance(c, FixAtoms)]
    return f"{structure_digest(atoms)} {held or ''} {others or ''}"


def _of_constraint(constraint: Any) -> str:
    """Words that are the same in every run, as those of ``repr`` need not be."""
    try:
        return encode(constraint.todict())
    except Exception:  # many constraints have nothing of the kind
        return type(constraint).__name__


def _relaxed(
    work: Work, potential: Potential, sound: Sequence[tuple[str, Item, Atoms]]
) -> dict[str, Outcome]:
    structures = [atoms for *_, atoms in sound]
    try:
        every = list(
            relax_many(
                structures,
                potential,
                fmax=work.fmax,
                cell=work.cell,
                max_steps=work.max_steps,
            )
        )
    except Exception as error:  # of one of them; the others shall not suffer
        if len(sound) == 1:
            key, item, _ = sound[0]
            return {key: outcome(key, item, work, "failed", f"{type(error).__name__}: {error}")}
        singles = [_relaxed(work, potential, [one]) for one in sound]
        return {key: each for single in singles for key, each in single.items()}
    found = zip(sound, every, strict=True)
    return {key: _of_relaxed(key, item, work, result) for (key, item, _), result in found}


def _of_relaxed(key: str, item: Item, work: Work, result: Relaxed) -> Outcome:
    if result.error is not None:
        return outcome(key, item, work, "failed", result.error)
    results = {
        "energy_eV": result.energy,
        "fmax_eV_per_angstrom": result.fmax,
        "max_stress_GPa": result.max_stress,
        "steps": result.steps,
    }
    status = "done" if result.converged else "not_converged"
    return outcome(key, item, work, status, results=results, atoms=result.atoms)


def _alone(work: Work, potential: Potential, key: str, item: Item, atoms: Atoms) -> Outcome:
    try:
        atoms = atoms.copy()
        atoms.calc = SymCalc(potential, dtype=work.dtype)
        converged, results, last = APPS[work.kind](atoms, functools.partial(_rested, work))
    except Exception as error:  # of this structure; the others go on
        meant = isinstance(error, InputError | NumericalError | ValueError)
        sentence = str(error) if meant else f"{type(error).__name__}: {error}"
        return outcome(key, item, work, "failed", sentence)
    status = "done" if converged else "not_converged"
    return outcome(key, item, work, status, results=results, atoms=_plain(last))


def _rested(work: Work, atoms: Atoms) -> tuple[bool, Atoms]:
    fmax = min(work.fmax, TIGHT)
    result = relax(atoms, fmax=fmax, cell=work.cell, max_steps=work.max_steps)
    return result.converged, result.atoms


def _plain(atoms: Atoms) -> Atoms:
    """Keep what the calculator found out, and leave the calculator."""
    known = getattr(atoms.calc, "results", {})
    kept = atoms.copy()
    names = ("energy", "forces", "stress")
    kept.calc = SinglePointCalculator(kept, **{n: known[n] for n in names if n in known})
    return kept
