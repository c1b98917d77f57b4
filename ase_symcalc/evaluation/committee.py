"""One potential or several, asked together."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64

from ase_symcalc.errors import InputError
from ase_symcalc.evaluation.context import undisturbed
from ase_symcalc.evaluation.evaluate import evaluate_arrays
from ase_symcalc.evaluation.hops import Hops
from ase_symcalc.evaluation.result import StructureResult
from ase_symcalc.graph import AtomicGraph
from ase_symcalc.models import AbstractEnergyModel
from ase_symcalc.potential_files import Potential, list_potentials, load_potential
from ase_symcalc.structures import Pairs, StructureArrays, graph_from_pairs, pairs_within
from ase_symcalc.symmetry.orbits import SymmetryMap

PotentialLike = str | os.PathLike[str] | Potential


@dataclass(frozen=True, slots=True, eq=False)
class Committee:
    """Potentials that answer the same question; most often there is one only."""

    members: tuple[Potential, ...]
    addresses: tuple[str, ...]
    """what finds each member again: its name if it is installed, else its folder or file"""

    @classmethod
    def load(
        cls, potential: PotentialLike | Sequence[PotentialLike], device: str, dtype: str
    ) -> Committee:
        """Read one potential, or a sequence of them; those read already are taken as they are.

        Raises
        ------
        InputError
            If there is none, or one was read for another device or dtype.
        PotentialFileError
            If one cannot be found or read.
        """
        several = [potential] if isinstance(potential, str | os.PathLike | Potential) else potential
        if not isinstance(several, Sequence) or not several:
            raise InputError(
                "expected a potential's name, its folder, what load_potential returned, or a "
                f"list of at least one of these; got {potential!r}"
            )
        with undisturbed():
            members = tuple(_load(one, device, dtype) for one in several)
        return cls(members, _addresses(members))

    @property
    def elements(self) -> tuple[str, ...]:
        """Chemical symbols that every member knows."""
        first, *others = (member.model.elements for member in self.members)
        if not others:
            return tuple(first)
        return tuple(symbol for symbol in first if all(symbol in other for other in others))

    @property
    def cutoff(self) -> float:
        """Longest of the members' cutoffs, Å."""
        return max(member.model.cutoff for member in self.members)

    @property
    def handed(self) -> bool:
        """Whether a member may tell a structure from its mirror image."""
        return any(member.model.group == "SO3" for member in self.members)

    def evaluate(
        self,
        arrays: StructureArrays,
        pairs: Pairs,
        derivatives: bool,
        hop: Hops,
        symmetry: SymmetryMap | None = None,
    ) -> list[StructureResult]:
        """Ask every member about a structure that has these pairs within `cutoff` at least.

        Its symmetry, if there is some, is used; no mirrors may be in it if a member is
        `handed`.
        """
        return [
            evaluate_arrays(arrays, pairs, member, derivatives, hop, symmetry)
            for member in self.members
        ]

    def graphs(
        self, arrays: StructureArrays, pairs: Pairs
    ) -> list[tuple[AbstractEnergyModel, AtomicGraph]]:
        """Each member's network, and what it sees of a structure."""
        return [
            (
                member.model,
                graph_from_pairs(
                    arrays,
                    _within(pairs, arrays, member),
                    dtype=member.dtype,
                    device=member.device,
                ),
            )
            for member in self.members
        ]


def mean_result(results: Sequence[StructureResult]) -> StructureResult:
    """Average what the members say.

    Derivatives are linear, so the mean forces are the forces of the mean energy.
    """
    if len(results) == 1:
        return results[0]
    return StructureResult(
        energy=float(np.mean([result.energy for result in results])),
        atomic_energies=np.mean([result.atomic_energies for result in results], axis=0),
        forces=_mean([result.forces for result in results]),
        stress=_mean([result.stress for result in results]),
        stresses=_mean([result.stresses for result in results]),
    )


def force_spread(results: Sequence[StructureResult]) -> Float64[np.ndarray, "n_atoms"]:
    """How far the members disagree about each atom's force, eV/Å.

    The sample standard deviation of the force vectors F_k of K members about their mean,

        s_i = sqrt( Σ_k |F_ki - F̄_i|² / (K - 1) ),

    the same in every orientation of the structure.

    Raises
    ------
    InputError
        If there are fewer than two results, or one has no forces.
    """
    forces = [result.forces for result in results if result.forces is not None]
    if len(forces) < max(len(results), 2):
        raise InputError(f"expected forces from at least two members, got {len(forces)}")
    deviations = np.array(forces) - np.mean(forces, axis=0)
    return np.sqrt(np.sum(deviations**2, axis=(0, 2)) / (len(forces) - 1))


def _load(potential: PotentialLike, device: str, dtype: str) -> Potential:
    if not isinstance(potential, Potential):
        return load_potential(potential, device=device, dtype=dtype)
    if f"torch.{dtype}" != str(potential.dtype) or torch.device(device) != potential.device:
        raise InputError(
            f"expected a potential in {dtype} on {device}, got one in {potential.dtype} on "
            f"{potential.device}; give SymCalc and load_potential the same dtype and device"
        )
    return potential


def _addresses(members: Sequence[Potential]) -> tuple[str, ...]:
    installed = [(card.name, card.sha256) for card in list_potentials()]
    return tuple(
        member.address
        or (
            str(member.folder)
            if member.folder and (member.card.name, member.card.sha256) not in installed
            else member.card.name
        )
        for member in members
    )


def _within(pairs: Pairs, arrays: StructureArrays, member: Potential) -> Pairs:
    """Pairs within the cutoff of one member."""
    return pairs_within(pairs, arrays.positions, arrays.cell, member.model.cutoff)


def _mean(values: Sequence[np.ndarray | None]) -> np.ndarray | None:
    known = [value for value in values if value is not None]
    return np.mean(known, axis=0) if known else None
