"""Whether a structure can be one at all: for generated structures, before any work."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import covalent_radii

from ase_symcalc.errors import InputError
from ase_symcalc.structures import from_ase, neighbour_pairs
from ase_symcalc.structures.from_ase import symbol_of


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a structure must keep to."""

    closest: float = 0.6
    """Least distance of two atoms, as a share of the sum of their covalent radii."""
    volume: tuple[float, float] = (3.0, 200.0)
    """Å³ per atom, least and most; looked at where all three directions repeat."""

    def __post_init__(self) -> None:
        if not (0 < self.closest < np.inf and 0 < self.volume[0] < self.volume[1] < np.inf):
            raise InputError(
                "expected a positive share of the covalent radii, and volumes per atom as least "
                f"and most; got {self.closest} and {self.volume}"
            )


def invalid(atoms: Atoms, bounds: Bounds | None = None) -> str | None:
    """Say why a structure cannot be one, or None.

    Parameters
    ----------
    atoms : Atoms
        Of any elements.
    bounds : Bounds, optional
        The radii are those of Cordero et al., Dalton Trans. 2008, 2832, as in `ase.data`.
    """
    bounds = bounds or Bounds()
    try:
        arrays = from_ase(atoms)
        if arrays.pbc.all() and (volume := arrays.volume) is not None:
            per_atom = volume / len(atoms)
            if not bounds.volume[0] <= per_atom <= bounds.volume[1]:
                least, most = bounds.volume
                return (
                    f"the volume is {per_atom:.3g} Å³ per atom; {least:g} to {most:g} are allowed"
                )
        radii = covalent_radii[arrays.atomic_numbers]
        reach = 2 * bounds.closest * float(radii.max())
        pairs = neighbour_pairs(arrays.positions, arrays.cell, arrays.pbc, reach)
    except InputError as error:
        return str(error)
    i, j = pairs.centre, pairs.neighbour
    vectors = arrays.positions[j] - arrays.positions[i] + pairs.unit_shifts @ arrays.cell
    lengths = np.linalg.norm(vectors, axis=1)
    shares = lengths / (radii[i] + radii[j])
    if shares.min(initial=np.inf) >= bounds.closest:
        return None
    worst = int(np.argmin(shares))
    first, second = (symbol_of(int(arrays.atomic_numbers[k[worst]])) for k in (i, j))
    return (
        f"atoms {i[worst]} ({first}) and {j[worst]} ({second}) are {lengths[worst]:.3g} Å apart, "
        f"{shares[worst]:.2f} of the sum of their covalent radii; {bounds.closest:g} is allowed"
    )
