"""One vector for a whole crystal."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from jaxtyping import Float64

from ase_symcalc.analysis.descriptors import Descriptor
from ase_symcalc.symmetry import pool_wyckoff


def material_embedding(
    atoms: Atoms, descriptor: Descriptor, *, tolerance: float = 1e-3
) -> Float64[np.ndarray, "n_features"]:
    """Mean and spread of the surroundings over the Wyckoff orbits of a crystal.

    With the mean x_o of a descriptor over orbit o, and the orbit's share w_o of the atoms, its
    multiplicity over the sum of all, the embedding is

        ( Σ_o w_o x_o,  (Σ_o w_o (x_o - Σ_p w_p x_p)²)^½ ),

    the root taken number by number.

    Parameters
    ----------
    atoms : Atoms
        Periodic along all three directions.
    descriptor : Descriptor
        Invariant.
    tolerance : float, Å
        Within which atoms count as equivalent.

    Returns
    -------
    (2 n_features,) array
        The same for primitive cell, conventional cell and supercell, however turned, and for every
        origin.

    Raises
    ------
    InputError
        If the structure is not a crystal, or as the descriptor.

    Notes
    -----
    Goodall et al., Sci. Adv. 8, eabn4117 (2022), weight orbits by multiplicity, and average over
    the sets of Wyckoff letters that equivalent origins give. A sum over orbits does not ask what
    they are called, so here all equivalent choices give the same vector, and so does their mean.
    """
    pooled = pool_wyckoff(descriptor(atoms), atoms, tolerance)
    shares = pooled.multiplicities / pooled.multiplicities.sum()
    mean = pooled.material
    spread = np.sqrt(shares @ (pooled.rows - mean) ** 2)
    return np.concatenate([mean, spread])
