"""Symmetric contractions of a `ProductTable` as straight-line code, and their gradient.

Each atom and block of channels is read once. Products of two components are formed once and
shared by all polynomials; nothing else is stored. The gradient runs the same program backwards.
"""

from __future__ import annotations

from collections import defaultdict

import torch
from jaxtyping import Float, Int64
from llvmlite import ir
from torch import Tensor

from ase_symcalc.nn.kernels.builder import KernelBuilder
from ase_symcalc.nn.kernels.machine import compiled
from ase_symcalc.nn.kernels.threads import run_in_parts
from ase_symcalc.nn.product_table import ProductTable

_INDICES = ("species",)
_REALS = ("features", "weights", "out", "gradient", "d_features")
_EDGES_PER_ATOM = 64  # an atom here costs about as much as so many edges of a convolution


def values(
    table: ProductTable,
    features: Float[Tensor, "n dim_in"],
    weights: Float[Tensor, "n_elements n_paths n_channels"],
    species: Int64[Tensor, "n"],
) -> Float[Tensor, "n dim_out"]:
    """Do what `product.contract` does, by compiled code on the CPU."""
    out = features.new_empty(features.shape[0], len(table.terms) * weights.shape[2])
    _run("values", table, weights, species, features=features, out=out)
    return out


def gradient(
    table: ProductTable,
    features: Float[Tensor, "n dim_in"],
    weights: Float[Tensor, "n_elements n_paths n_channels"],
    species: Int64[Tensor, "n"],
    gradient: Float[Tensor, "n dim_out"],
) -> Float[Tensor, "n dim_in"]:
    """Pull a gradient by the outputs back to the features."""
    d_features = torch.empty_like(features)
    _run(
        "gradient",
        table,
        weights,
        species,
        features=features,
        gradient=gradient,
        d_features=d_features,
    )
    return d_features


def _run(
    kernel: str, table: ProductTable, weights: Tensor, species: Tensor, **tensors: Tensor
) -> None:
    real = {torch.float32: "float", torch.float64: "double"}[weights.dtype]
    n_channels, n = weights.shape[2], species.shape[0]
    function = polynomial_kernel(kernel, table, n_channels, real)
    full = {name: a.contiguous() for name, a in (tensors | {"weights": weights}).items()}
    pointers = [species.contiguous().data_ptr()]
    pointers += [full[name].data_ptr() if name in full else 0 for name in _REALS]
    starts = torch.arange(n + 1) * _EDGES_PER_ATOM
    run_in_parts(lambda first, last: function(first, last, *pointers), starts, n * _EDGES_PER_ATOM)


@compiled(len(_INDICES) + len(_REALS))
def polynomial_kernel(kernel: str, table: ProductTable, n_channels: int, real: str) -> str:
    """``kernel(first, last, species, features, weights, out, gradient, d_features)``.

    The kernel "values" fills ``out``; "gradient" takes in ``gradient`` that by the outputs, and
    fills ``d_features``.
    """
    builder = Polynomials(table, n_channels, real)
    builder.write_values() if kernel == "values" else builder.write_gradient()
    return builder.finish()


class Polynomials(KernelBuilder):
    """Straight-line code for the polynomials of a table, a block of channels at a time."""

    indices: tuple[str, ...] = _INDICES
    reals: tuple[str, ...] = _REALS

    def __init__(self, table: ProductTable, n_channels: int, real: str) -> None:
        super().__init__(real, self.indices, self.reals)
        self.table, self.n_channels = table, n_channels
        self.width = self.widest(n_channels)
        terms = [term for component in table.terms for term in component]
        pairs = sorted({t.factors[:2] for t in terms if len(t.factors) > 1})
        self.pairs = {pair: slot for slot, pair in enumerate(pairs)}

    def write_values(self) -> None:
        """Write the kernel of the values."""
        products = self.buffer(len(self.pairs), self.width)
        for k, a, weights, n in self.blocks():
            self.form_products(a, products)
            out = self.row("out", n, len(self.table.terms) * self.n_channels)
            for o in range(len(self.table.terms)):
                total = None
                for path, by_last in self.grouped(o).items():
                    polynomial = self.polynomial(by_last, a, products)
                    total = self.fma(self.weight(weights, k, path), polynomial, total)
                if total is None:
                    total = self.constant(0.0, self.width)
                self.store(total, out, k, o * self.n_channels, self.width)

    def write_gradient(self) -> None:
        """Write the kernel of the gradient by the features."""
        products = self.buffer(len(self.pairs), self.width)
        for k, a, weights, n in self.blocks():
            self.form_products(a, products)
            d_products, d_a = (self.zeros(size, self.width) for size in (len(self.pairs), len(a)))
            g = self.row("gradient", n, len(self.table.terms) * self.n_channels)
            for o in range(len(self.table.terms)):
                g_o = self.load(g, k, o * self.n_channels, self.width)
                for path, by_last in self.grouped(o).items():
                    s = self.b.fmul(g_o, self.weight(weights, k, path))
                    for last, terms in by_last.items():
                        if last is not None:
                            self.accumulate(d_a, last, s, self.inner(terms, a, products))
                        seed = s if last is None else self.b.fmul(s, a[last])
                        for factors, c in terms:
                            slot = factors[0] if len(factors) == 1 else self.pairs[factors]
                            target = d_a if len(factors) == 1 else d_products
                            self.accumulate(target, slot, self.constant(c, self.width), seed)
            for (m1, m2), slot in self.pairs.items():
                dp = self.b.load(self.at(d_products, self.index(slot)))
                self.accumulate(d_a, m1, dp, a[m2])
                self.accumulate(d_a, m2, dp, a[m1])
            row = self.row("d_features", n, len(a) * self.n_channels)
            for m in range(len(a)):
                total = self.b.load(self.at(d_a, self.index(m)))
                self.store(total, row, k, m * self.n_channels, self.width)

    def blocks(self):  # type: ignore[no-untyped-def]
        """For each atom and block of channels: channel, components of A, weights, atom."""
        dim = self.table.irreps_in.dim
        with self.loop(self.arg["first"], self.arg["last"]) as n:
            features = self.row("features", n, dim * self.n_channels)
            s = self.b.load(self.at(self.arg["species"], n))
            weights = self.row("weights", s, self.table.n_paths * self.n_channels)
            with self.loop(self.index(0), self.index(self.n_channels), self.width) as k:
                a = [self.load(features, k, m * self.n_channels, self.width) for m in range(dim)]
                yield k, a, weights, n

    def grouped(self, o: int) -> dict[int, dict[int | None, list[tuple[tuple[int, ...], float]]]]:
        """Terms of an output component by path and by third factor: (first factors, constant)."""
        groups: dict = defaultdict(lambda: defaultdict(list))
        for path, factors, c in self.table.terms[o]:
            last = factors[2] if len(factors) == 3 else None
            groups[path][last].append((factors[:2], c))
        return groups

    def polynomial(
        self,
        by_last: dict[int | None, list[tuple[tuple[int, ...], float]]],
        a: list[ir.Value],
        products: ir.Value,
    ) -> ir.Value | None:
        """Evaluate a path's polynomial, given its terms by their third factor."""
        total = None
        for last, terms in by_last.items():
            inner = self.inner(terms, a, products)
            total = self.plus(total, inner) if last is None else self.fma(a[last], inner, total)
        return total

    def inner(
        self, terms: list[tuple[tuple[int, ...], float]], a: list[ir.Value], products: ir.Value
    ) -> ir.Value:
        """Σ c A[m] or Σ c A[m1] A[m2]."""
        total = None
        for factors, c in terms:
            value = (
                a[factors[0]]
                if len(factors) == 1
                else self.b.load(self.at(products, self.index(self.pairs[factors])))
            )
            total = self.fma(self.constant(c, self.width), value, total)
        return total

    def form_products(self, a: list[ir.Value], products: ir.Value) -> None:
        """Store the products of two components that any polynomial needs."""
        for (m1, m2), slot in self.pairs.items():
            self.b.store(self.b.fmul(a[m1], a[m2]), self.at(products, self.index(slot)))

    def weight(self, weights: ir.Value, k: ir.Value, path: int) -> ir.Value:
        """Load the weights of a path."""
        return self.load(weights, k, path * self.n_channels, self.width)

    def plus(self, a: ir.Value | None, b: ir.Value) -> ir.Value:
        """Add ``b`` to what there is, if there is anything."""
        return b if a is None else self.b.fadd(a, b)
