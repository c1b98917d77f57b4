"""`SymCalc`: ASE in, ASE out."""

from __future__ import annotations

import copy
import numbers
import pickle
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from ase import Atoms
from ase.calculators.calculator import (
    CalculationFailed,
    Calculator,
    CalculatorSetupError,
    InputError,
    Parameters,
    PropertyNotImplementedError,
    all_changes,
)
from jaxtyping import Float64

from ase_symcalc import errors
from ase_symcalc.evaluation import (
    Committee,
    Hops,
    PotentialLike,
    StructureResult,
    checked_arrays,
    descriptors,
    force_spread,
    mean_result,
    undisturbed,
)
from ase_symcalc.response import hessian
from ase_symcalc.structures import Pairs, SkinList, StructureArrays, check_separation
from ase_symcalc.symmetry import pool_wyckoff
from ase_symcalc.symmetry.memory import SymmetryMemory
from ase_symcalc.symmetry.orbits import SymmetryMap
from ase_symcalc.symmetry.tolerance import tolerance_of

ENERGIES = {"energy", "free_energy", "energies"}


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the last calculation did."""

    n_atoms: int
    n_orbits: int
    """Atoms evaluated; the others are their images."""
    n_operations: int
    """Symmetry operations used; 1 is the identity alone."""
    n_edges: int
    """Pairs of atoms evaluated, by all members of a committee together."""
    n_edges_full: int
    """Pairs of atoms within the cutoff, counted likewise."""
    list_rebuilt: bool
    """False if an older neighbour list was still valid."""
    seconds: Mapping[str, float]
    """Wall time of each hop, by the name of its function."""


class SymCalc(Calculator):
    """ASE calculator for an equivariant potential.

    Parameters
    ----------
    potential : str, path or Potential, or a sequence of them
        A shipped name, a folder, or what `load_potential` returned. Several make a
        committee: results are means, and `get_uncertainty` is their spread.
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

    Attributes
    ----------
    evaluation : Evaluation or None
        What the last calculation did.
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

    def __init__(
        self,
        potential: PotentialLike | Sequence[PotentialLike] = "default",
        *,
        device: str = "cpu",
        dtype: str = "float64",
        symmetry: str | float = "auto",
        skin: float = 1.0,
    ) -> None:
        self._lock = threading.RLock()
        self.evaluation: Evaluation | None = None
        self._committee = Committee((), ())
        super().__init__()
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
        with self._lock, _as_ase_errors():
            new = {name: _CHECKS[name](value) for name, value in kwargs.items()}
            old = self.parameters
            changed = {k: v for k, v in new.items() if k not in old or old[k] != v}
            if not changed:
                return {}
            settings = {**old, **changed}
            committee = self._committee
            if changed.keys() & {"potential", "device", "dtype"}:
                committee = Committee.load(
                    settings["potential"], settings["device"], settings["dtype"]
                )
            self._skin_list = SkinList(committee.cutoff, settings["skin"])
            self._committee = committee
            self._tolerance = tolerance_of(settings["symmetry"])
            self._memory = SymmetryMemory(self._tolerance, proper=committee.handed)
            self.parameters.update(changed)
            self.reset()
            return changed

    def set_atoms(self, atoms: Atoms) -> None:
        """Refuse unknown elements as soon as ``atoms.calc`` is set; ASE calls this."""
        if len(atoms):  # nothing but the species: the rest may still be on its way
            with _as_ase_errors():
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
        with self._lock, _as_ase_errors():
            atoms = self._given(atoms)
            arrays = self._arrays(atoms, hop)
            if arrays.volume is None and {"stress", "stresses"} & set(properties):
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
            super().calculate(atoms, properties, system_changes)
            self.results = _ase_results(mean)
            self.evaluation = Evaluation(
                n_atoms=len(atoms),
                n_orbits=symmetry.n_orbits if symmetry else len(atoms),
                n_operations=symmetry.n_operations if symmetry else 1,
                n_edges=hop.n_edges,
                n_edges_full=hop.n_edges_full,
                list_rebuilt=self._skin_list.rebuilt,
                seconds=hop.seconds,
            )

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

    def get_hessian(self, atoms: Atoms | None = None) -> Float64[np.ndarray, "n_atoms 3 n_atoms 3"]:
        """Second derivatives of the energy by the positions, eV/Å², exact up to rounding.

        An atom stands for all its periodic images; constraints are not looked at.

        Parameters
        ----------
        atoms : Atoms, optional
            Those of the last calculation if left out.

        Raises
        ------
        ase.calculators.calculator.InputError
            As `calculate`.
        """
        with self._about(atoms) as (arrays, pairs):
            every = [hessian(*seen) for seen in self._committee.graphs(arrays, pairs)]
            return np.mean([each.cpu().double().numpy() for each in every], axis=0)

    def get_descriptors(
        self, atoms: Atoms, invariant: bool = True, pool: Literal["mean", "wyckoff"] | None = None
    ) -> Float64[np.ndarray, "..."]:
        """Features of the network's last layer, one row per atom.

        Parameters
        ----------
        atoms : Atoms
        invariant : bool
            Only those that no rotation or mirror changes. Otherwise all of them, in the
            order of the network's irreps.
        pool : None, "mean" or "wyckoff"
            "mean" gives one row, the mean over the atoms. "wyckoff" gives one row for each
            orbit of a crystal, the mean over its atoms; invariant features only. An orbit
            is one within the setting ``symmetry`` if that is a length, else within 1e-5 Å.

        Returns
        -------
        (n_atoms, n_features) array, or (n_features,) or (n_orbits, n_features) if pooled
            Those of a committee's members side by side. Orbits are in an order that depends
            on neither origin, setting nor supercell; `symmetry.pool_wyckoff` says which, and
            gives their letters and multiplicities too.

        Raises
        ------
        ase.calculators.calculator.InputError
            If ``pool`` is unknown, if Wyckoff positions are asked for where there are none or
            with features that turn, or as `calculate`.
        """
        if pool not in (None, "mean", "wyckoff"):
            raise InputError(f"expected pool to be None, 'mean' or 'wyckoff', got {pool!r}")
        if pool == "wyckoff" and not invariant:
            raise InputError(
                "features that turn with an atom's surroundings have no mean over an orbit; "
                "expected invariant=True with pool='wyckoff'"
            )
        with self._about(atoms) as (arrays, pairs):
            graphs = self._committee.graphs(arrays, pairs)
            rows = np.hstack([descriptors(model, graph, invariant) for model, graph in graphs])
            if pool == "wyckoff":
                setting = self.parameters["symmetry"]
                tolerance = 1e-5 if isinstance(setting, str) else setting
                return pool_wyckoff(rows, atoms, tolerance).rows
        return rows.mean(axis=0) if pool == "mean" else rows

    def get_uncertainty(self, atoms: Atoms) -> Float64[np.ndarray, "n_atoms"]:
        """How far the potentials of a committee disagree about each atom's force, eV/Å.

        The standard deviation of the force vectors, as `evaluation.force_spread` has it.

        Raises
        ------
        PropertyNotImplementedError
            If the calculator has one potential only.
        ase.calculators.calculator.InputError
            As `calculate`.
        """
        if len(self._committee.members) < 2:
            raise PropertyNotImplementedError(
                "one potential alone has nobody to disagree with; pass a list of at least two: "
                "SymCalc([first, second])"
            )
        with self._about(atoms) as (arrays, pairs):
            symmetry = self._symmetry(arrays, hop := Hops())
            return force_spread(self._committee.evaluate(arrays, pairs, True, hop, symmetry))

    def todict(self, skip_default: bool = True) -> dict[str, Any]:
        """Return settings as plain data, with the names or folders that find the potentials."""
        first, *others = self._committee.addresses
        settings = {**self.parameters, "potential": [first, *others] if others else first}
        if not skip_default:
            return settings
        return {k: v for k, v in settings.items() if v != self.default_parameters[k]}

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

    @contextmanager
    def _about(self, atoms: Atoms | None) -> Iterator[tuple[StructureArrays, Pairs]]:
        """Give a structure and its pairs, where derivatives can be taken and errors are ASE's."""
        with self._lock, _as_ase_errors(), undisturbed():
            arrays = self._arrays(self._given(atoms), Hops())
            pairs = self._skin_list.pairs(arrays)
            check_separation(arrays, pairs)
            yield arrays, pairs


@contextmanager
def _as_ase_errors() -> Iterator[None]:
    """ASE's users catch ASE's errors; the sentence stays."""
    try:
        yield
    except errors.InputError as error:
        raise InputError(str(error)) from error
    except errors.PotentialFileError as error:
        raise CalculatorSetupError(str(error)) from error
    except errors.NumericalError as error:
        raise CalculationFailed(str(error)) from error


def _distance(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise errors.InputError(f"expected a length in Å, got {value!r}")
    return float(value)


def _symmetry(value: Any) -> str | float:
    tolerance = tolerance_of(value)
    return value if isinstance(value, str) or tolerance is None else tolerance


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "potential": lambda value: value,
    "device": str,
    "dtype": str,
    "symmetry": _symmetry,
    "skin": _distance,
}


def _voigt(tensors: np.ndarray) -> np.ndarray:
    """Symmetric (..., 3, 3) to (..., 6) in ASE's order: xx, yy, zz, yz, xz, xy."""
    return tensors.reshape(*tensors.shape[:-2], 9).take([0, 4, 8, 5, 2, 1], axis=-1)


def _ase_results(result: StructureResult) -> dict[str, Any]:
    """Names, shapes and Voigt order of ASE."""
    results: dict[str, Any] = {
        "energy": result.energy,
        "free_energy": result.energy,
        "energies": result.atomic_energies,
    }
    if result.forces is not None:
        results["forces"] = result.forces
    if result.stress is not None and result.stresses is not None:
        results["stress"] = _voigt(result.stress)
        results["stresses"] = _voigt(result.stresses)
    return results
