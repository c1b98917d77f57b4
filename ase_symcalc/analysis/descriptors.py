"""Numbers for the surroundings of each atom, from a density or from a network, called alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias, overload, runtime_checkable

import numpy as np
import torch
from ase import Atoms
from ase.data import atomic_numbers
from e3nn.o3 import Irreps
from jaxtyping import Float, Float64
from torch import Tensor

from ase_symcalc.analysis.density import project
from ase_symcalc.analysis.memory import check_memory
from ase_symcalc.analysis.radial import GaussianBasis
from ase_symcalc.analysis.spectra import bispectrum, bispectrum_size, power_spectrum
from ase_symcalc.calculator import SymCalc
from ase_symcalc.errors import InputError
from ase_symcalc.graph import AtomicGraph
from ase_symcalc.structures import build_graph

Rows: TypeAlias = Float64[np.ndarray, "n_atoms n_features"]
"""One row of numbers for each atom."""

BATCH = 512
"""Atoms that are computed together, if structures are that small."""


@runtime_checkable
class Descriptor(Protocol):
    """Structures in, one row of numbers for each atom out."""

    @overload
    def __call__(self, structures: Atoms) -> Rows: ...
    @overload
    def __call__(self, structures: Sequence[Atoms]) -> list[Rows]: ...
    def __call__(self, structures: Atoms | Sequence[Atoms]) -> Rows | list[Rows]:
        """Array of one structure, or one array for each of several."""


class StructureDescriptor(ABC):
    """A descriptor that is told what to do with several structures."""

    @abstractmethod
    def of_structures(self, structures: Sequence[Atoms]) -> list[Rows]:
        """One array for each structure."""

    @overload
    def __call__(self, structures: Atoms) -> Rows: ...
    @overload
    def __call__(self, structures: Sequence[Atoms]) -> list[Rows]: ...
    def __call__(self, structures: Atoms | Sequence[Atoms]) -> Rows | list[Rows]:
        """Array of one structure, or one array for each of several.

        Raises
        ------
        InputError, UnsupportedElementError
            As `of_structures`.
        """
        if isinstance(structures, Atoms):
            return self.of_structures([structures])[0]
        return self.of_structures(structures)


@dataclass(frozen=True)
class DensityDescriptor(StructureDescriptor):
    """A function of the density around each atom.

    Parameters
    ----------
    elements : tuple of str
        Chemical symbols that may occur.
    basis : GaussianBasis
    normalised : bool
        Scale each row to length 1; a row of zeros, of an atom without neighbours, stays.

    Raises
    ------
    InputError
        If no element is named, one twice, or one is no chemical symbol.
    """

    elements: tuple[str, ...]
    basis: GaussianBasis = field(default_factory=GaussianBasis)
    normalised: bool = True

    def __post_init__(self) -> None:
        unknown = [symbol for symbol in self.elements if symbol not in atomic_numbers]
        if unknown or not self.elements or len(set(self.elements)) < len(self.elements):
            raise InputError(f"expected different chemical symbols, got {self.elements}")

    @property
    @abstractmethod
    def n_features(self) -> int:
        """Length of a row."""

    @abstractmethod
    def of_density(
        self, density: list[Float[Tensor, "n_atoms n_channels _"]]
    ) -> Float[Tensor, "n_atoms n_features"]:
        """Features from the coefficients that `project` returns."""

    def features(self, graph: AtomicGraph) -> Float[Tensor, "n_atoms n_features"]:
        """Features of every atom of a graph, differentiable in positions and cell.

        Raises
        ------
        InputError, UnsupportedElementError
            As `project`, or if the rows need more than 4 GB.
        """
        check_memory(
            2 * graph.n_atoms * self.n_features * graph.positions.element_size(),
            f"a {type(self).__name__} of {self.n_features} numbers for each of {graph.n_atoms} "
            f"atoms (lmax={self.basis.lmax})",
        )
        rows = self.of_density(project(graph, self.elements, self.basis))
        if not self.normalised:
            return rows
        squares = rows.square().sum(dim=1, keepdim=True)
        # the inner choice keeps the gradient of a row of zeros finite
        return rows / torch.where(squares > 0, squares, torch.ones_like(squares)).sqrt()

    def of_structures(self, structures: Sequence[Atoms]) -> list[Rows]:
        """One array for each structure.

        Raises
        ------
        InputError, UnsupportedElementError
            As `features`, or if a structure has no meaning.
        """
        rows: list[np.ndarray] = []
        for batch in _batches(structures):
            with torch.no_grad():
                together = self.features(build_graph(batch, self.basis.cutoff)).numpy()
            ends = np.cumsum([len(atoms) for atoms in batch])
            rows += np.split(together, ends[:-1])
        return rows


@dataclass(frozen=True)
class DensityCoefficients(DensityDescriptor):
    """The coefficients themselves; they turn with the structure, as `irreps` says."""

    @property
    def irreps(self) -> Irreps:
        """How a row transforms."""
        n = len(self.elements) * self.basis.n_max
        return Irreps([(n, (l, (-1) ** l)) for l in range(self.basis.lmax + 1)])

    @property
    def n_features(self) -> int:
        """Length of a row."""
        return len(self.elements) * self.basis.n_max * (self.basis.lmax + 1) ** 2

    def of_density(
        self, density: list[Float[Tensor, "n_atoms n_channels _"]]
    ) -> Float[Tensor, "n_atoms n_features"]:
        """Join the coefficients in the order of `irreps`."""
        return torch.cat([c.flatten(1) for c in density], dim=1)


@dataclass(frozen=True)
class PowerSpectrum(DensityDescriptor):
    """Pairs of coefficients, by pairs of elements: unchanged by rotations and mirrors."""

    @property
    def n_features(self) -> int:
        """Length of a row."""
        channels = len(self.elements) * self.basis.n_max
        return channels * (channels + 1) // 2 * (self.basis.lmax + 1)

    def of_density(
        self, density: list[Float[Tensor, "n_atoms n_channels _"]]
    ) -> Float[Tensor, "n_atoms n_features"]:
        """As `power_spectrum`."""
        return power_spectrum(density, len(self.elements))


@dataclass(frozen=True)
class Bispectrum(DensityDescriptor):
    """Triples of coefficients: those that a mirror leaves alone, then those it turns round.

    Rows are normalised with both parts together, so that the ratio of the parts is kept.
    """

    @property
    def n_features(self) -> int:
        """Length of a row."""
        return sum(bispectrum_size(len(self.elements) * self.basis.n_max, self.basis.lmax))

    def of_density(
        self, density: list[Float[Tensor, "n_atoms n_channels _"]]
    ) -> Float[Tensor, "n_atoms n_features"]:
        """Even and odd part side by side, as `bispectrum`."""
        return torch.cat(bispectrum(density), dim=1)


@dataclass(frozen=True)
class NetworkFeatures(StructureDescriptor):
    """What a potential's network knows of each atom after its last layer.

    Parameters
    ----------
    calculator : SymCalc
    invariant : bool
        Only those that no rotation or mirror changes; otherwise all, in the order of the
        network's irreps.
    """

    calculator: SymCalc
    invariant: bool = True

    def of_structures(self, structures: Sequence[Atoms]) -> list[Rows]:
        """One array for each structure.

        Raises
        ------
        ase.calculators.calculator.InputError
            As `SymCalc.get_descriptors`.
        """
        return [self.calculator.get_descriptors(atoms, self.invariant) for atoms in structures]


def _batches(structures: Sequence[Atoms]) -> list[list[Atoms]]:
    """Cut a sequence into runs of at most `BATCH` atoms, or of one structure."""
    batches: list[list[Atoms]] = []
    held = 0
    for atoms in structures:
        if not batches or held + len(atoms) > BATCH:
            batches.append([])
            held = 0
        batches[-1].append(atoms)
        held += len(atoms)
    return batches
