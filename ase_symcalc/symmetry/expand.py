"""Features of atoms that were not evaluated: rotations of those that were."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import torch
from e3nn.o3 import Irreps, wigner_3j
from jaxtyping import Float, Float64, Int64
from torch import Tensor


class Rotations:
    """Orthogonal matrices, and what represents them, computed once.

    Parameters
    ----------
    matrices : (k, 3, 3) array
        They act on columns; determinants are 1 or -1.
    """

    def __init__(self, matrices: Float64[np.ndarray, "k 3 3"]) -> None:
        self.matrices = matrices
        self._wigner: dict[tuple[int, int, torch.dtype, torch.device], Tensor] = {}
        self._arrays: dict[tuple[int, int], np.ndarray] = {}

    def wigner(self, l: int, p: int, like: Tensor) -> Float[Tensor, "k d d"]:
        """Representation of degree l and parity p, in dtype and place of ``like``."""
        key = (l, p, like.dtype, like.device)
        if key not in self._wigner:
            self._wigner[key] = torch.tensor(self.wigner_array(l, p)).to(like)
        return self._wigner[key]

    def wigner_array(self, l: int, p: int) -> Float64[np.ndarray, "k d d"]:
        """Representation of degree l and parity p; shared, so it cannot be written to."""
        if (l, p) not in self._arrays:
            matrices = wigner_matrices(torch.tensor(self.matrices), l, p).numpy()
            matrices.flags.writeable = False
            self._arrays[l, p] = matrices
        return self._arrays[l, p]


class RotatedImages:
    """An expansion (`graph.Environments.expand`): appends rotated copies of centres as rows.

    Features of an image are D times those of the centre it copies, D the Wigner matrices of
    the features' irreps for one of the rotations.

    Parameters
    ----------
    centre : (n_images,) array
        The centre that each image is a copy of.
    parts : sequence of (Rotations, (n,) array)
        Rotations, and which of them each image takes; concatenated, one for each image.
    """

    def __init__(
        self,
        centre: Int64[np.ndarray, "n_images"],
        parts: Sequence[tuple[Rotations, Int64[np.ndarray, "..."]]],
    ) -> None:
        self._centre, self._parts = centre, parts
        self._packed: dict[object, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}

    def __call__(self, features: Tensor, irreps: str) -> Tensor:
        """Turn (n_centres, dim) channel-last features into (n_centres + n_images, dim)."""
        if not len(self._centre):
            return features
        copies = features[torch.tensor(self._centre, device=features.device)]
        parts = [(r, torch.tensor(k, device=features.device)) for r, k in self._parts]
        columns, start = [], 0
        for mul, l, p in _blocks(irreps):
            part = copies[:, start : (start := start + mul * (2 * l + 1))]
            if (l, p) != (0, 1):
                matrices = [r.wigner(l, p, features)[k] for r, k in parts]
                block = part.unflatten(1, (2 * l + 1, mul))
                part = torch.bmm(torch.cat(matrices), block).flatten(1)
            columns.append(part)
        return torch.cat([features, torch.cat(columns, dim=1)])

    def packed(
        self, degrees: tuple[tuple[int, int], ...], dtype: type[np.floating]
    ) -> tuple[
        Int64[np.ndarray, "n_images"],
        Int64[np.ndarray, "n_images"],
        Float[np.ndarray, "n_operations size"],
    ]:
        """Give the same as data, for code that does the work itself; computed once.

        Parameters
        ----------
        degrees : tuple of (int, int)
            Degree l and parity p (1 or -1) of the features' irreps.
        dtype : numpy.float32 or numpy.float64

        Returns
        -------
        centre : (n_images,) array
            The centre that each image is a copy of; image i is row ``n_centres + i``.
        operation : (n_images,) array
            Which row of matrices turns it; those of all parts are numbered through.
        matrices : (n_operations, Σ (2 l + 1)²) array
            The Wigner matrices of all degrees, flattened, one after the other.
        """
        key = (degrees, dtype)
        if key not in self._packed:
            rows = [
                np.concatenate(
                    [r.wigner_array(l, p).reshape(len(r.matrices), -1) for l, p in degrees], axis=1
                )
                for r, _ in self._parts
            ]
            starts = np.cumsum([0, *(len(part) for part in rows)])[:-1]
            operation = [k + start for (_, k), start in zip(self._parts, starts, strict=True)]
            matrices = np.ascontiguousarray(np.concatenate(rows), dtype=dtype)
            self._packed[key] = (self._centre, np.concatenate(operation), matrices)
        return self._packed[key]


def wigner_matrices(rotations: Float[Tensor, "k 3 3"], l: int, p: int) -> Float[Tensor, "k d d"]:
    """Representation of degree l and parity p of orthogonal matrices, in e3nn's basis.

    Built upwards: D_{l+1} is the part of degree l+1 of D_l ⊗ D_1, and D_1 the rotation
    itself. Angles, from which e3nn computes the same, lose half of the digits near the poles.
    """
    determinants = torch.linalg.det(rotations).sign()[:, None, None]
    proper = rotations * determinants
    matrices = torch.ones_like(rotations[:, :1, :1])
    for degree in range(l):
        coupling = wigner_3j(degree, 1, degree + 1, dtype=rotations.dtype)
        product = torch.einsum("kab,kcd,ace->kbde", matrices, proper, coupling)
        matrices = torch.einsum("kbde,bdf->kef", product, coupling) * (2 * degree + 3)
    return matrices if p == 1 else matrices * determinants


@functools.cache
def _blocks(irreps: str) -> tuple[tuple[int, int, int], ...]:
    return tuple((mul, ir.l, ir.p) for mul, ir in Irreps(irreps))
