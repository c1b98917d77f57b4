"""What a calculator knows of a structure beside what ASE asks for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from typing import Any, Literal

import numpy as np
from ase import Atoms
from ase.calculators.calculator import InputError, PropertyNotImplementedError
from jaxtyping import Float64

from ase_symcalc.evaluation.committee import Committee, force_spread
from ase_symcalc.evaluation.descriptors import descriptors
from ase_symcalc.evaluation.hops import Hops
from ase_symcalc.evaluation.uncertainty import (
    expected_errors,
    outside,
    squared_distances,
    warn_of_atoms,
)
from ase_symcalc.response import hessian, strain_derivatives
from ase_symcalc.structures import Pairs, StructureArrays
from ase_symcalc.symmetry import pool_wyckoff
from ase_symcalc.symmetry.orbits import SymmetryMap


class Analysis(ABC):
    """Second derivatives, features and uncertainty, for a calculator to inherit."""

    _committee: Committee
    parameters: dict[str, Any]
    _warned_of: bytes = b""
    """atomic numbers of the structure whose atoms were called unfamiliar last"""

    @abstractmethod
    def _about(self, atoms: Atoms | None) -> AbstractContextManager[tuple[StructureArrays, Pairs]]:
        """Give a structure and its pairs, where derivatives can be taken and errors are ASE's."""

    @abstractmethod
    def _symmetry(self, arrays: StructureArrays, hop: Hops) -> SymmetryMap | None:
        """Symmetry that may be used."""

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

    def get_strain_derivatives(
        self, atoms: Atoms | None = None
    ) -> tuple[Float64[np.ndarray, "6 6"], Float64[np.ndarray, "6 n_atoms 3"]]:
        """Second derivatives of the energy by strain twice, and by strain and positions.

        The six strains are ε_xx, ε_yy, ε_zz, 2ε_yz, 2ε_xz, 2ε_xy of a symmetric ε that takes
        positions and cell to r(1 + ε) and h(1 + ε). The first, over the volume, are the elastic
        constants at fixed ions of a crystal without stress; `apps.elastic` has the rest.

        Parameters
        ----------
        atoms : Atoms, optional
            Those of the last calculation if left out.

        Returns
        -------
        (6, 6) array, eV, and (6, n_atoms, 3) array, eV/Å
            Exact up to rounding.

        Raises
        ------
        ase.calculators.calculator.InputError
            As `calculate`.
        """
        with self._about(atoms) as (arrays, pairs):
            every = [strain_derivatives(*seen) for seen in self._committee.graphs(arrays, pairs)]
            twice, mixed = (
                np.mean([part.cpu().double().numpy() for part in parts], axis=0)
                for parts in zip(*every, strict=True)
            )
            return twice, mixed

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

    def get_uncertainty(self, atoms: Atoms | None = None) -> Float64[np.ndarray, "n_atoms"]:
        """How far each atom's force is expected to be off, eV/Å, from one forward pass.

        That is the mean length of the error that atoms as far from the training had in frames
        held out, `evaluation.uncertainty` has the formula; infinity for an element without
        training data. Of a committee, it is the standard deviation of the force vectors
        instead, as `evaluation.force_spread` has it, from one evaluation of each member.

        Parameters
        ----------
        atoms : Atoms, optional
            Those of the last calculation if left out.

        Raises
        ------
        PropertyNotImplementedError
            If the calculator has one potential only, and nothing of its errors is stored
            with it.
        ase.calculators.calculator.InputError
            As `calculate`.

        Warns
        -----
        UnfamiliarAtomsWarning
            Names atoms in surroundings unlike those of the training; once, until it is asked
            of a structure of other atoms. No other call looks for them, for that takes a pass
            of its own.
        """
        members = self._committee.members
        model = members[0].error_model
        if len(members) == 1 and model is None:
            raise PropertyNotImplementedError(
                f"this potential, {members[0].card.name}, has no uncertainty; make it with "
                "`symcalc calibrate` from the data it was trained on, or pass a list of at least "
                "two potentials: SymCalc([first, second])"
            )
        with self._about(atoms) as (arrays, pairs):
            if len(members) > 1 or model is None:
                symmetry = self._symmetry(arrays, hop := Hops())
                return force_spread(self._committee.evaluate(arrays, pairs, True, hop, symmetry))
            ((network, graph),) = self._committee.graphs(arrays, pairs)
            numbers = arrays.atomic_numbers
            distances = squared_distances(model, descriptors(network, graph, True), numbers)
            strange = np.flatnonzero(outside(model, distances, numbers))
            news = len(strange) > 0 and self._warned_of != numbers.tobytes()
            if news:
                self._warned_of = numbers.tobytes()
        if news:
            warn_of_atoms(strange, len(numbers), members[0].card.name)
        return expected_errors(model, distances, numbers)
