"""Linear maps between features: one matrix product for each component of an irrep."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from e3nn.o3 import Irreps
from jaxtyping import Float, Int64
from torch import Tensor

from ase_symcalc.nn.layout import blocks
from ase_symcalc.nn.multilinear import Arguments, derivative


class Linear(torch.nn.Module):
    """Mix the channels of each irrep, weights scaled by 1/sqrt(channels in).

    Both irreps must be simplified (one block for each irrep). An output irrep that is not in
    the input stays zero.
    """

    def __init__(self, irreps_in: Irreps, irreps_out: Irreps) -> None:
        super().__init__()
        self.form = _BlockProduct(irreps_in, irreps_out)
        self.weights = torch.nn.ParameterList(torch.randn(a.mul, b.mul) for a, b in self.form.pairs)

    def forward(self, features: Float[Tensor, "n dim_in"]) -> Float[Tensor, "n dim_out"]:
        """Apply the map to every row."""
        return derivative(self.form, "g", x=features, w=_joined(list(self.weights)))


class SpeciesLinear(torch.nn.Module):
    """A linear map of its own for each species; only species that are present cost anything."""

    def __init__(self, irreps_in: Irreps, irreps_out: Irreps, n_species: int) -> None:
        super().__init__()
        self.form = _BlockProduct(irreps_in, irreps_out)
        self.weights = torch.nn.ParameterList(
            torch.randn(n_species, a.mul, b.mul) for a, b in self.form.pairs
        )

    def forward(
        self, features: Float[Tensor, "n dim_in"], species: Int64[Tensor, "n"]
    ) -> Float[Tensor, "n dim_out"]:
        """Apply each row's map."""
        present = torch.unique(species).tolist()
        if len(present) == 1:
            return self._apply_one(features, present[0])
        out = features.new_zeros(features.shape[0], self.form.dim_out)
        for s in present:
            rows = (species == s).nonzero().squeeze(1)
            out = out.index_add(0, rows, self._apply_one(features[rows], s))
        return out

    def _apply_one(self, features: Tensor, s: int) -> Tensor:
        return derivative(self.form, "g", x=features, w=_joined([w[s] for w in self.weights]))


class _BlockProduct:
    """F(g, x, w) = Σ_l Σ_m g[:, lm, :] · (x[:, lm, :] w_l), all w_l in one row.

    The columns of one component m are a matrix in place, so nothing is copied.
    """

    names: ClassVar[tuple[str, ...]] = ("g", "x", "w")

    def __init__(self, irreps_in: Irreps, irreps_out: Irreps) -> None:
        inputs = {(b.l, b.p): b for b in blocks(irreps_in)}
        if len(inputs) != len(irreps_in):
            raise ValueError(f"expected simplified irreps, one block each; got {irreps_in}")
        outputs = blocks(irreps_out)
        self.dim_in, self.dim_out = irreps_in.dim, irreps_out.dim
        self.pairs = [(inputs[b.l, b.p], b) for b in outputs if (b.l, b.p) in inputs]
        self.complete = {
            "g": len(self.pairs) == len(outputs),
            "x": len({a for a, _ in self.pairs}) == len(inputs),
            "w": False,
        }

    def contract(self, wanted: tuple[str, ...], args: Arguments) -> dict[str, Tensor]:
        given = {k: a for k, a in args.items() if a is not None}
        n = (given["x"] if "x" in given else given["g"]).shape[0]
        size = sum(a.mul * b.mul for a, b in self.pairs)
        shapes = {"g": (n, self.dim_out), "x": (n, self.dim_in), "w": (size,)}
        some = next(iter(given.values()))
        out = {
            k: (some.new_empty if self.complete[k] else some.new_zeros)(shapes[k]) for k in wanted
        }
        start = 0
        for a, b in self.pairs:
            part = slice(start, start + a.mul * b.mul)
            start = part.stop
            for m in range(a.dim):
                xs = slice(a.offset + m * a.mul, a.offset + (m + 1) * a.mul)
                gs = slice(b.offset + m * b.mul, b.offset + (m + 1) * b.mul)
                if "g" in wanted:
                    matrix = given["w"][part].view(a.mul, b.mul)
                    torch.mm(given["x"][:, xs], matrix, out=out["g"][:, gs])
                if "x" in wanted:
                    matrix = given["w"][part].view(a.mul, b.mul)
                    torch.mm(given["g"][:, gs], matrix.T, out=out["x"][:, xs])
                if "w" in wanted:
                    total = out["w"][part].view(a.mul, b.mul)
                    total.addmm_(given["x"][:, xs].T, given["g"][:, gs])
        return out


def _joined(weights: Sequence[Tensor]) -> Tensor:
    return torch.cat([w.reshape(-1) / w.shape[0] ** 0.5 for w in weights])
