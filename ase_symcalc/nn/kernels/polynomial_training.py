"""What training on forces takes besides `polynomial`: gradients by weights, and of gradients.

With S(g, A, w) = Σ g · B(A; w), whose derivatives by g and A are what `polynomial` computes, one
kernel differentiates D = Σ v · ∂S/∂A, the change of S along v, by all of its arguments but v: the
same program, run on A + ε v, backwards too.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from llvmlite import ir
from torch import Tensor

from ase_symcalc.nn.kernels.machine import compiled
from ase_symcalc.nn.kernels.polynomial import Polynomials
from ase_symcalc.nn.product_table import ProductTable

_INDICES = ("species",)
_REALS = ("features", "weights", "gradient", "along", "d_gradient", "d_features", "d_weights")


def weight_gradient(
    table: ProductTable,
    features: Float[Tensor, "n dim_in"],
    weights: Float[Tensor, "n_elements n_paths n_channels"],
    species: Int64[Tensor, "n"],
    gradient: Float[Tensor, "n dim_out"],
) -> Float[Tensor, "n_elements n_paths n_channels"]:
    """Pull a gradient by the outputs back to the weights."""
    d_weights = torch.zeros_like(weights)
    _run(
        "weights",
        table,
        species,
        features=features,
        weights=weights,
        gradient=gradient,
        d_weights=d_weights,
    )
    return d_weights


def second_gradient(
    table: ProductTable,
    features: Float[Tensor, "n dim_in"],
    weights: Float[Tensor, "n_elements n_paths n_channels"],
    species: Int64[Tensor, "n"],
    gradient: Float[Tensor, "n dim_out"],
    along: Float[Tensor, "n dim_in"],
) -> tuple[Tensor, Tensor, Tensor]:
    """Differentiate Σ along · ∂S/∂features by gradient, features and weights."""
    d_gradient, d_features = torch.empty_like(gradient), torch.empty_like(features)
    d_weights = torch.zeros_like(weights)
    _run(
        "second",
        table,
        species,
        features=features,
        weights=weights,
        gradient=gradient,
        along=along,
        d_gradient=d_gradient,
        d_features=d_features,
        d_weights=d_weights,
    )
    return d_gradient, d_features, d_weights


def _run(kernel: str, table: ProductTable, species: Tensor, **tensors: Tensor) -> None:
    weights = tensors["weights"]
    real = {torch.float32: "float", torch.float64: "double"}[weights.dtype]
    function = training_kernel(kernel, table, weights.shape[2], real)
    pointers = [species.data_ptr()]
    pointers += [tensors[name].data_ptr() if name in tensors else 0 for name in _REALS]
    function(0, species.shape[0], *pointers)


@compiled(len(_INDICES) + len(_REALS))
def training_kernel(kernel: str, table: ProductTable, n_channels: int, real: str) -> str:
    """``kernel(first, last, species, *reals)``; weights' gradients are added to what is there."""
    builder = _Training(table, n_channels, real)
    builder.write_weights() if kernel == "weights" else builder.write_second()
    return builder.finish()


class _Training(Polynomials):
    indices, reals = _INDICES, _REALS

    def write_weights(self) -> None:
        products = self.buffer(len(self.pairs), self.width)
        for k, a, _, n in self.blocks():
            self.form_products(a, products)
            g = self.row("gradient", n, len(self.table.terms) * self.n_channels)
            d_weights = self.species_row("d_weights", n)
            for o in range(len(self.table.terms)):
                g_o = self.load(g, k, o * self.n_channels, self.width)
                for path, by_last in self.grouped(o).items():
                    self.add(d_weights, k, path, g_o, self.polynomial(by_last, a, products))

    def write_second(self) -> None:
        n_pairs, dim, n_out = len(self.pairs), self.table.irreps_in.dim, len(self.table.terms)
        products, moved = (self.buffer(n_pairs, self.width) for _ in range(2))
        for k, a, weights, n in self.blocks():
            along = self.row("along", n, dim * self.n_channels)
            v = [self.load(along, k, m * self.n_channels, self.width) for m in range(dim)]
            self.form_products(a, products)
            self.form_changes(a, v, moved)
            by_product, by_moved, d_a = (self.zeros(m, self.width) for m in (n_pairs, n_pairs, dim))
            g = self.row("gradient", n, n_out * self.n_channels)
            d_g = self.row("d_gradient", n, n_out * self.n_channels)
            d_weights = self.species_row("d_weights", n)
            for o in range(n_out):
                g_o = self.load(g, k, o * self.n_channels, self.width)
                total = self.constant(0.0, self.width)
                for path, by_last in self.grouped(o).items():
                    w = self.weight(weights, k, path)
                    s = self.b.fmul(g_o, w)
                    change = None
                    for last, terms in by_last.items():
                        inner_change = self.inner(terms, v, moved)
                        if last is None:
                            change = self.plus(change, inner_change)
                            self.pull(terms, s, None, d_a, by_product, by_moved)
                            continue
                        change = self.fma(v[last], self.inner(terms, a, products), change)
                        change = self.fma(a[last], inner_change, change)
                        self.accumulate(d_a, last, s, inner_change)
                        seeds = self.b.fmul(s, a[last]), self.b.fmul(s, v[last])
                        self.pull(terms, *seeds, d_a, by_product, by_moved)
                    self.add(d_weights, k, path, g_o, change)
                    total = self.fma(w, change, total)
                self.store(total, d_g, k, o * self.n_channels, self.width)
            for (m1, m2), slot in self.pairs.items():
                q, dq = (self.b.load(self.at(x, self.index(slot))) for x in (by_product, by_moved))
                for m, other in ((m1, m2), (m2, m1)):
                    self.accumulate(d_a, m, dq, a[other])
                    self.accumulate(d_a, m, q, v[other])
            row = self.row("d_features", n, dim * self.n_channels)
            for m in range(dim):
                total = self.b.load(self.at(d_a, self.index(m)))
                self.store(total, row, k, m * self.n_channels, self.width)

    def form_changes(self, a: list[ir.Value], v: list[ir.Value], moved: ir.Value) -> None:
        """Store what the products change along v."""
        for (m1, m2), slot in self.pairs.items():
            change = self.fma(v[m1], a[m2], self.b.fmul(a[m1], v[m2]))
            self.b.store(change, self.at(moved, self.index(slot)))

    def pull(
        self,
        terms: list[tuple[tuple[int, ...], float]],
        seed: ir.Value,
        d_seed: ir.Value | None,
        d_a: ir.Value,
        by_product: ir.Value,
        by_moved: ir.Value,
    ) -> None:
        """Add a seed and its change to the gradients by the products and components of a sum."""
        for factors, c in terms:
            constant = self.constant(c, self.width)
            if len(factors) == 1:
                if d_seed is not None:
                    self.accumulate(d_a, factors[0], constant, d_seed)
                continue
            self.accumulate(by_product, self.pairs[factors], constant, seed)
            if d_seed is not None:
                self.accumulate(by_moved, self.pairs[factors], constant, d_seed)

    def species_row(self, name: str, n: ir.Value) -> ir.Value:
        s = self.b.load(self.at(self.arg["species"], n))
        return self.row(name, s, self.table.n_paths * self.n_channels)

    def add(self, row: ir.Value, k: ir.Value, path: int, a: ir.Value, b: ir.Value) -> None:
        column = path * self.n_channels
        self.store(
            self.fma(a, b, self.load(row, k, column, self.width)), row, k, column, self.width
        )
