"""`SymCalc`: ASE in, ASE out."""

from __future__ import annotations

import copy
import os
import pickle
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from html import escape
from typing import Any

from ase import Atoms
from ase.calculators.calculator import (
    Calculator,
    CalculatorSetupError,
    InputError,
    Parameters,
    PropertyNotImplementedError,
    all_changes,
)
from ase.outputs import Properties

from ase_symcalc.evaluation import (
    Analysis,
    Committee,
    Evaluation,
    Hops,
    PotentialLike,
    as_ase_errors,
    ase_results,
    checked_arrays,
    checked_setting,
    mean_result,
    undisturbed,
    unlisted_pairs,
    unseen_pairs,
    warn_of_pairs,
)
from ase_symcalc.potential_files import Potential
from ase_symcalc.structures import Pairs, SkinList, StructureArrays, check_separation
from ase_symcalc.symmetry.memory import SymmetryMemory
from ase_symcalc.symmetry.orbits import SymmetryMap
from ase_symcalc.symmetry.tolerance import tolerance_of

ENERGIES = {"energy", "free_energy", "energies"}


class SymCalc(Analysis, Calculator):
    """ASE calculator for an equivariant potential.

    Parameters
    ----------
    potential : str, path or Potential, or a sequence of them
        A shipped name, a folder, or what `load_potential` returned. Several make a
        committee: results are means, and `get_uncertainty` is their spread. Of one alone it is
        the expected error of each force, if the potential has it stored; asking costs a
        forward pass, and nothing if nobody asks.
    device : str
        Where the network runs, as torch names it.
    dtype : {"float64", "float32"}
        Precision of the network. Results are float64 either way.
    symmetry : {"auto", "off"} or float, Å
        Which symmetry of a structure may be used, so that of atoms that are images of each
        other only one is evaluated: that which is exact (within 1e-7 Å), none, or that
        within a tolerance of your own in (0, 0.1], to which results are then exact. A
        structure that loses its symmetry is evaluated in full at once;
        `symmetry.SymmetryMemory` says when symmetry is looked for again.
    skin : float, Å
        The neighbour list reaches so much further than the cutoff, and is kept until an
        atom has moved by more than half of it. Results do not depend on it.

    Raises
    ------
    ase.calculators.calculator.InputError
        If an argument has no meaning; from a calculation, if the structure has none.
    ase.calculators.calculator.CalculatorSetupError
        If a potential cannot be found or read.

    Notes
    -----
    One backward pass yields forces and stress, so asking for either stores both; asking for
    the energy takes none. Stress refers to the volume of the cell as given, a
    slab's vacuum included; without a volume, or where nothing repeats, it raises
    `PropertyNotImplementedError`. Calls from several threads take turns; a
    forked process runs torch with one thread, for others do not survive a fork. A pickle holds the
    potential's name or folder and its digest, never its weights. Charges and magnetic
    moments of the atoms are not seen by the network.

    A pair of elements within the cutoff that the potential's card does not list among its
    ``pairs`` is named in an `errors.OutsideTrainingWarning`, once by each calculator.

    Attributes
    ----------
    evaluation : Evaluation or None
        What the last calculation did.
    potentials : tuple of Potential
        What it asks, with their cards.
    unseen_pairs : tuple of str
        Pairs of elements that it has warned of, as "Ni-Cu".
    """

    implemented_properties = [  # noqa: RUF012  (ASE declares it as a list)
        "energy",
        "free_energy",
        "energies",
        "forces",
        "stress",
        "stresses",
    ]
    ignored_changes = {"initial_charges", "initial_magmoms"}  # noqa: RUF012
    nolabel = True
    default_parameters = {  # noqa: RUF012
        "potential": "default",
        "device": "cpu",
        "dtype": "float64",
        "symmetry": "auto",
        "skin": 1.0,
    }

    _skin_list: SkinList
    _memory: SymmetryMemory

    def __init__(
        self,
        potential: PotentialLike | Sequence[PotentialLike] = "default",
        *,
        device: str = "cpu",
        dtype: str = "float64",
        symmetry: str | float = "auto",
        skin: float = 1.0,
    ) -> None:
        self._locks: dict[int, AbstractContextManager[object]] = {}
        self.evaluation: Evaluation | None = None
        self._committee = Committee((), ())
        self.unseen_pairs: tuple[str, ...] = ()
        self._unlisted: tuple[Pairs | None, bytes, set[str]] = (None, b"", set())
        super().__init__()
        self.use_cache = False  # `calculate` keeps the atoms itself; a second copy takes time
        self.parameters = Parameters()
        self.set(potential=potential, device=device, dtype=dtype, symmetry=symmetry, skin=skin)

    def set(self, **kwargs: Any) -> dict[str, Any]:
        """Change settings by name; results are dropped if any of them changed.

        Returns
        -------
        dict
            What changed. If a value is refused, nothing has.

        Raises
        ------
        ase.calculators.calculator.InputError, ase.calculators.calculator.CalculatorSetupError
            As for a new calculator.
        """
        if unknown := sorted(kwargs.keys() - self.default_parameters.keys()):
            known = ", ".join(self.default_parameters)
            raise InputError(f"expected settings among {known}; got {', '.join(unknown)}")
        with self._lock, as_ase_errors():
            new = {name: checked_setting(name, value) for name, value in kwargs.items()}
            old = self.parameters
            changed = {k: v for k, v in new.items() if k not in old or old[k] != v}
            if not changed:
                return {}
            settings = Parameters({**old, **changed})
            committee = self._committee
            if changed.keys() & {"potential", "device", "dtype"}:
                committee = Committee.load(
                    settings["potential"], settings["device"], settings["dtype"]
                )
            tolerance = tolerance_of(settings["symmetry"])
            state = {
                "parameters": settings,
                "_committee": committee,
                "_skin_list": SkinList(committee.cutoff, settings["skin"]),
                "_memory": SymmetryMemory(tolerance, proper=committee.handed),
                "atoms": None,
                "results": {},
            }
            if committee is not self._committee:
                state |= {"unseen_pairs": (), "_unlisted": (None, b"", set()), "_warned_of": b""}
            self.__dict__.update(state)  # all at once, wherever Ctrl-C comes
            return changed

    def set_atoms(self, atoms: Atoms) -> None:
        """Refuse unknown elements as soon as ``atoms.calc`` is set; ASE calls this."""
        if len(atoms):  # nothing but the species: the rest may still be on its way
            with as_ase_errors():
                checked_arrays(Atoms(numbers=atoms.numbers), self._committee.elements)

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Fill `results` for ``atoms``, or for those of the last calculation.

        Raises
        ------
        ase.calculators.calculator.InputError
            If the structure has no meaning; the message says why and what to do.
        PropertyNotImplementedError
            If stress is asked for and the structure has no volume.
        CalculationFailed
            If the network returns NaN or infinity.
        """
        hop = Hops()
        with self._lock, as_ase_errors():
            atoms = self._given(atoms)
            arrays = self._arrays(atoms, hop)
            if not {"stress", "stresses"}.isdisjoint(properties) and arrays.volume is None:
                raise PropertyNotImplementedError(
                    "stress needs a volume, and this structure has none: at least one "
                    f"direction must be periodic and all three cell vectors set; got pbc "
                    f"{arrays.pbc.tolist()} and cell {arrays.cell.tolist()} Å"
                )
            pairs = self._pairs(arrays, hop)
            derivatives = not ENERGIES.issuperset(properties)
            symmetry = self._symmetry(arrays, hop)
            results = self._committee.evaluate(arrays, pairs, derivatives, hop, symmetry)
            mean = mean_result(results)
            self._memory.learn(mean.atomic_energies)
            evaluation = Evaluation(
                n_atoms=len(atoms),
                n_orbits=symmetry.n_orbits if symmetry else len(atoms),
                n_operations=symmetry.n_operations if symmetry else 1,
                n_edges=hop.n_edges,
                n_edges_full=hop.n_edges_full,
                list_rebuilt=self._skin_list.rebuilt,
                seconds=hop.seconds,
            )
            state = (atoms.copy(), ase_results(mean), evaluation)
            self.atoms, self.results, self.evaluation = state  # no call, so no Ctrl-C, in between
            self._warn_of_pairs(arrays, pairs)

    @property
    def potentials(self) -> tuple[Potential, ...]:
        """The members of the committee; most often one."""
        return self._committee.members

    def get_property(
        self, name: str, atoms: Atoms | None = None, allow_calculation: bool = True
    ) -> Any:
        """As in ASE, one thread at a time, so that no result is of another thread's atoms."""
        with self._lock:
            return super().get_property(name, atoms, allow_calculation)

    def calculate_properties(self, atoms: Atoms, properties: Sequence[str]) -> Any:
        """As in ASE, one thread at a time."""
        with self._lock:
            return super().calculate_properties(atoms, properties)

    def export_properties(self) -> Properties:
        """As in ASE, but copies: what ASE hands out could be written to."""
        return Properties(copy.deepcopy(self.results))

    def reset(self) -> None:
        """As in ASE, but not while another thread waits for its results."""
        with self._lock:
            super().reset()

    def todict(self, skip_default: bool = True) -> dict[str, Any]:
        """Return settings as plain data, with the names or folders that find the potentials."""
        first, *others = self._committee.addresses
        settings = {**self.parameters, "potential": [first, *others] if others else first}
        if not skip_default:
            return settings
        return {k: v for k, v in settings.items() if v != self.default_parameters[k]}

    def __repr__(self) -> str:
        potential, *settings = self.todict().items()
        return f"SymCalc({', '.join([repr(potential[1]), *(f'{k}={v!r}' for k, v in settings)])})"

    def _repr_html_(self) -> str:
        """Show the cards too, in a notebook."""
        cards = "".join(potential.card._repr_html_() for potential in self.potentials)
        return f"<code>{escape(repr(self), quote=False)}</code>{cards}"

    def __getstate__(self) -> dict[str, Any]:
        with self._lock:
            for member in self._committee.members:
                if member.folder is None and member.address is None:
                    raise pickle.PicklingError(
                        f"the potential {member.card.name} lives in memory only, and a pickle "
                        "holds no weights; save it with save_potential and pass its folder"
                    )
            return {
                "settings": self.todict(skip_default=False),
                "digests": [member.digest for member in self._committee.members],
                "atoms": self.atoms,
                "results": self.results,
            }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state["settings"])  # type: ignore[misc]
        for member, digest in zip(self._committee.members, state["digests"], strict=True):
            if member.digest != digest:
                raise CalculatorSetupError(
                    f"the files of potential {member.card.name} in "
                    f"{member.folder or member.address} are not those "
                    "the calculator was made with; bring them back, or make a new calculator"
                )
        self.atoms, self.results = state["atoms"], state["results"]

    def __deepcopy__(self, memo: dict[int, Any]) -> SymCalc:
        with self._lock:  # the weights never change, so the copy may use the same
            twin = type(self)(**{**self.parameters, "potential": self._committee.members})
            twin.parameters["potential"] = self.parameters["potential"]
            twin.atoms, twin.results = copy.deepcopy((self.atoms, self.results), memo)
            return twin

    @property
    def _lock(self) -> AbstractContextManager[object]:
        """A lock for each process: a fork leaves the thread behind that would open the old one."""
        return self._locks.setdefault(os.getpid(), threading.RLock())

    def _given(self, atoms: Atoms | None) -> Atoms:
        atoms = self.atoms if atoms is None else atoms
        if atoms is None:
            raise InputError("expected atoms, got none, and no earlier calculation had any")
        return atoms

    def _arrays(self, atoms: Atoms, hop: Hops) -> StructureArrays:
        with hop("from_ase"):
            return checked_arrays(atoms, self._committee.elements)

    def _pairs(self, arrays: StructureArrays, hop: Hops) -> Pairs:
        with hop("neighbour_pairs"):
            return self._skin_list.candidates(arrays)

    def _symmetry(self, arrays: StructureArrays, hop: Hops) -> SymmetryMap | None:
        with hop("recall"):
            return self._memory.recall(
                arrays.positions, arrays.cell, arrays.pbc, arrays.atomic_numbers
            )

    def _warn_of_pairs(self, arrays: StructureArrays, pairs: Pairs) -> None:
        """Name pairs of elements that no training data had, unless that was done before."""
        named = self.unseen_pairs
        kinds = arrays.atomic_numbers.tobytes()  # they may change and the pairs stay
        if pairs is not self._unlisted[0] or kinds != self._unlisted[1]:
            every = (unlisted_pairs(arrays, pairs, potential) for potential in self.potentials)
            self._unlisted = pairs, kinds, set().union(*every)
        if self._unlisted[2].issubset(named):  # not even the skin holds others
            return
        met = [unseen_pairs(arrays, pairs, potential, named) for potential in self.potentials]
        unseen = set().union(*met)
        self.unseen_pairs += tuple(sorted(unseen))  # first, for a warning may be made an error
        warn_of_pairs(unseen, self.potentials)

    @contextmanager
    def _about(self, atoms: Atoms | None) -> Iterator[tuple[StructureArrays, Pairs]]:
        """Give a structure and its pairs, where derivatives can be taken and errors are ASE's."""
        with self._lock, as_ase_errors(), undisturbed():
            arrays = self._arrays(self._given(atoms), Hops())
            pairs = self._skin_list.pairs(arrays)
            check_separation(arrays, pairs)
            yield arrays, pairs
