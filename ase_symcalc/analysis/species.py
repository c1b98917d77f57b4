"""Elements as numbers, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from ase.data import atomic_numbers, chemical_symbols
from jaxtyping import Float, Int64
from torch import Tensor

from ase_symcalc.errors import InputError, UnsupportedElementError


@dataclass(frozen=True)
class SpeciesEncoding:
    """One column for each element: 1 for atoms of that element, 0 for others.

    Parameters
    ----------
    elements : tuple of str
        Chemical symbols, each once.

    Raises
    ------
    InputError
        If none is named, one twice, or one is no chemical symbol.
    """

    elements: tuple[str, ...]

    def __post_init__(self) -> None:
        unknown = [symbol for symbol in self.elements if symbol not in atomic_numbers]
        if unknown or not self.elements or len(set(self.elements)) < len(self.elements):
            raise InputError(f"expected different chemical symbols, got {self.elements}")

    def encode(self, numbers: Int64[Tensor, "n_atoms"]) -> Float[Tensor, "n_atoms n_elements"]:
        """One row for each atom, from atomic numbers.

        Raises
        ------
        UnsupportedElementError
            If an element is not among those named.
        """
        same = numbers[:, None] == self._numbers().to(numbers.device)
        lost = numbers[~same.any(dim=1)].unique().tolist()
        if lost:
            symbols = ", ".join(chemical_symbols[n] for n in lost)
            raise UnsupportedElementError(
                f"{symbols} cannot be encoded; expected {', '.join(self.elements)}"
            )
        return same.double()

    def decode(self, rows: Float[Tensor, "n_atoms n_elements"]) -> Int64[Tensor, "n_atoms"]:
        """Atomic numbers from rows: of what a network returned, the largest column counts.

        Raises
        ------
        InputError
            If there is not one column for each element.
        """
        if rows.shape[1] != len(self.elements):
            raise InputError(
                f"expected a column for each of {len(self.elements)} elements, got {rows.shape[1]}"
            )
        return self._numbers().to(rows.device)[rows.argmax(dim=1)]

    def symbols(self, rows: Float[Tensor, "n_atoms n_elements"]) -> Sequence[str]:
        """Chemical symbols from rows, as `decode`."""
        return [chemical_symbols[n] for n in self.decode(rows).tolist()]

    def _numbers(self) -> Tensor:
        return torch.tensor([atomic_numbers[symbol] for symbol in self.elements])
