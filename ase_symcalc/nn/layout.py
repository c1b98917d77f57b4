"""How features lie in memory: ``[m, channel]`` for each irrep, channels contiguous.

e3nn lays a block of ``mul x l`` out as ``[channel, m]``. With the channel last, the linear
map of one l is a matrix product and the inner loop of a tensor product runs over
neighbouring numbers.
"""

from dataclasses import dataclass

import torch
from e3nn.o3 import Irreps
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Block:
    """One ``mul x l p`` of a feature row: component m, channel k at ``offset + m * mul + k``."""

    offset: int
    mul: int
    l: int
    p: int

    @property
    def dim(self) -> int:
        """Components per channel."""
        return 2 * self.l + 1

    @property
    def end(self) -> int:
        """First column after the block."""
        return self.offset + self.mul * self.dim

    def of(self, features: Tensor) -> Tensor:
        """View of the block, (n, 2l+1, mul)."""
        return features[:, self.offset : self.end].unflatten(1, (self.dim, self.mul))


def blocks(irreps: Irreps) -> tuple[Block, ...]:
    """Return the blocks of a feature row, in order."""
    out, offset = [], 0
    for mul, (l, p) in irreps:
        out.append(Block(offset, mul, l, p))
        offset += mul * (2 * l + 1)
    return tuple(out)


def from_e3nn(features: Tensor, irreps: Irreps) -> Tensor:
    """Move channels last: columns from e3nn's ``[channel, m]`` to ``[m, channel]``."""
    return features[..., _permutation(irreps)]


def to_e3nn(features: Tensor, irreps: Irreps) -> Tensor:
    """Inverse of `from_e3nn`."""
    return features[..., torch.argsort(_permutation(irreps))]


def _permutation(irreps: Irreps) -> Tensor:
    columns = [
        torch.arange(b.offset, b.end).reshape(b.mul, b.dim).T.reshape(-1) for b in blocks(irreps)
    ]
    return torch.cat(columns) if columns else torch.arange(0)
