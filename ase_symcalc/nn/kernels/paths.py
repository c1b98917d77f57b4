"""The table of a channel-wise tensor product: which irreps couple, where they lie."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from functools import cached_property

import torch
from e3nn.o3 import Irrep, Irreps, wigner_3j

from ase_symcalc.nn.layout import Block, blocks


@dataclass(frozen=True)
class Path:
    """One coupling l1 ⊗ l2 → l3 of every channel of an input block with the harmonics.

    Component m3 of channel k of the output lies at ``out_offset + m3 * out_stride + k``.
    """

    x: Block
    l2: int
    l3: int
    out_offset: int
    out_stride: int
    w_offset: int
    terms: tuple[tuple[int, int, int, float], ...]
    """Non-zero (m1, m2, m3, C[m1, m2, m3])."""

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """The (m1, m3) that couple at all."""
        return tuple(sorted({(m1, m3) for m1, _, m3, _ in self.terms}))


@dataclass(frozen=True, eq=False)
class PathTable:
    """All paths from ``irreps_x ⊗ Y_0..lmax`` into a set of output irreps.

    Every path has output channels of its own (e3nn's ``uvu``); paths into the same irrep lie
    side by side, so that the linear map that follows is one matrix product for each l.

    Attributes
    ----------
    irreps_x, irreps_out : Irreps
        Input and output features, channel-last layout.
    lmax : int
        Spherical harmonics 0..lmax of parity (-1)^l times `sh_parity`.
    paths : tuple of Path
    """

    irreps_x: Irreps
    lmax: int
    irreps_out: Irreps
    paths: tuple[Path, ...]

    @classmethod
    @functools.cache  # kernels are compiled once for each table, known by its identity
    def build(cls, irreps_x: Irreps, irreps_sh: Irreps, targets: Irreps) -> PathTable:
        """Couple every input block with every harmonic into every irrep of ``targets``.

        The coefficients are Wigner 3j symbols times sqrt(2 l3 + 1), so that inputs whose
        components have unit variance give outputs of unit variance (e3nn's ``component``
        normalisation).
        """
        found = [
            (b, ir2, ir3)
            for b in blocks(irreps_x)
            for _, ir2 in irreps_sh
            for ir3 in Irrep(b.l, b.p) * ir2
            if ir3 in targets
        ]
        irreps_out = Irreps([(b.mul, ir3) for b, _, ir3 in found]).sort().irreps.simplify()
        group = {(b.l, b.p): b for b in blocks(irreps_out)}
        used = dict.fromkeys(group, 0)
        paths, w_offset = [], 0
        for b, ir2, ir3 in found:
            key = (ir3.l, ir3.p)
            out = group[key]
            paths.append(
                Path(
                    x=b,
                    l2=ir2.l,
                    l3=ir3.l,
                    out_offset=out.offset + used[key],
                    out_stride=out.mul,
                    w_offset=w_offset,
                    terms=_terms(b.l, ir2.l, ir3.l),
                )
            )
            used[key] += b.mul
            w_offset += b.mul
        return cls(irreps_x, irreps_sh.lmax, irreps_out, tuple(paths))

    def __deepcopy__(self, memo: dict[int, object]) -> PathTable:
        """Let copies of a network share its tables, and so the kernels made for them."""
        return self

    @property
    def n_weights(self) -> int:
        """Radial weights per edge: one for each path and channel."""
        return sum(path.x.mul for path in self.paths)

    @property
    def n_sh(self) -> int:
        """Numbers in a row of spherical harmonics."""
        return (self.lmax + 1) ** 2

    @cached_property
    def flops_per_edge(self) -> int:
        """Multiplications and additions of one forward pass that no ordering can avoid."""
        return sum(p.x.mul * (2 * len(p.pairs) + (2 * p.x.l + 1)) for p in self.paths)


def _terms(l1: int, l2: int, l3: int) -> tuple[tuple[int, int, int, float], ...]:
    c = wigner_3j(l1, l2, l3, dtype=torch.float64) * (2 * l3 + 1) ** 0.5
    return tuple(
        (m1, m2, m3, float(c[m1, m2, m3])) for m1, m2, m3 in (c.abs() > 1e-12).nonzero().tolist()
    )
