"""The product basis of MACE, evaluated: see `product_table` for what the polynomials are."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ase_symcalc.nn.kernels import polynomial
from ase_symcalc.nn.kernels.polynomial_training import second_gradient, weight_gradient
from ase_symcalc.nn.multilinear import asked_for
from ase_symcalc.nn.product_table import ProductTable


def contract(
    table: ProductTable,
    features: Float[Tensor, "n dim_in"],
    weights: Float[Tensor, "n_elements n_paths n_channels"],
    species: Int64[Tensor, "n"],
) -> Float[Tensor, "n dim_out"]:
    """Evaluate the polynomials; only elements that are present cost anything.

    Parameters
    ----------
    table : ProductTable
    features : (n, irreps_in.dim * n_channels) tensor
        Channel-last, all irreps with the same channels.
    weights : (n_elements, n_paths, n_channels) tensor
    species : (n,) tensor
        Element of each row.

    Returns
    -------
    (n, irreps_out.dim * n_channels) tensor
        Channel-last; differentiable any number of times in features and weights.
    """
    if features.device.type == "cpu":
        return _Values.apply(table, features.contiguous(), weights.contiguous(), species)
    return plain_contract(table, features, weights, species)


def plain_contract(
    table: ProductTable,
    features: Float[Tensor, "n dim_in"],
    weights: Float[Tensor, "n_elements n_paths n_channels"],
    species: Int64[Tensor, "n"],
) -> Float[Tensor, "n dim_out"]:
    """Do what `contract` does, in plain torch on any device."""
    present = torch.unique(species).tolist()
    matrix = _term_matrix(table, features.device)
    if len(present) == 1:
        return _polynomials(matrix, features, weights[present[0]])
    out = features.new_zeros(features.shape[0], table.irreps_out.dim * weights.shape[2])
    for s in present:
        rows = (species == s).nonzero().squeeze(1)
        out = out.index_add(0, rows, _polynomials(matrix, features[rows], weights[s]))
    return out


class _Values(torch.autograd.Function):
    """Compiled values."""

    @staticmethod
    def forward(ctx, table, features, weights, species):  # type: ignore[no-untyped-def]
        ctx.table = table
        ctx.save_for_backward(features, weights, species)
        return polynomial.values(table, features, weights, species)

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        features, weights, species = ctx.saved_tensors
        by_features, by_weights, _ = asked_for(ctx, ctx.saved_tensors)
        gradient = gradient.contiguous()
        pulled = learnt = None
        if by_features:
            pulled = _Gradient.apply(ctx.table, features, weights, species, gradient)
        if by_weights and torch.is_grad_enabled():
            value = plain_contract(ctx.table, features, weights, species)
            (learnt,) = torch.autograd.grad(value, weights, gradient, create_graph=True)
        elif by_weights:
            learnt = weight_gradient(ctx.table, features, weights, species, gradient)
        return None, pulled, learnt, None


class _Gradient(torch.autograd.Function):
    """Compiled gradient by features; whoever differentiates its gradient gets the plain one."""

    @staticmethod
    def forward(ctx, table, features, weights, species, gradient):  # type: ignore[no-untyped-def]
        ctx.table = table
        ctx.save_for_backward(features, weights, species, gradient)
        return polynomial.gradient(table, features, weights, species, gradient)

    @staticmethod
    def backward(ctx, along):  # type: ignore[no-untyped-def]
        features, weights, species, gradient = ctx.saved_tensors
        if torch.is_grad_enabled():
            asked = tuple(t for t in (features, weights, gradient) if t.requires_grad)
            value = plain_contract(ctx.table, features, weights, species)
            (pulled,) = torch.autograd.grad(value, features, gradient, create_graph=True)
            found = iter(torch.autograd.grad(pulled, asked, along, create_graph=True))
            by = [next(found) if t.requires_grad else None for t in (features, weights, gradient)]
            return None, by[0], by[1], None, by[2]
        d_gradient, d_features, d_weights = second_gradient(
            ctx.table, features, weights, species, gradient, along.contiguous()
        )
        return None, d_features, d_weights, None, d_gradient


@dataclass(frozen=True, slots=True)
class _TermMatrix:
    """Each polynomial as Σ_last A[last] Σ_rest T[out, last, rest] (1, A, A ⊗ A)[rest]."""

    pairs: tuple[Tensor, Tensor]
    shape: tuple[int, int, int]
    position: Tensor
    path: Tensor
    coefficient: Tensor

    @classmethod
    @torch.inference_mode(False)  # the tensors outlive whatever mode the caller is in
    def of(cls, table: ProductTable, device: torch.device) -> _TermMatrix:
        dim = table.irreps_in.dim
        all_terms = [term for terms in table.terms for term in terms]
        pairs = sorted({term.factors[:-1] for term in all_terms if len(term.factors) == 3})
        rests = [(), *((m,) for m in range(dim)), *pairs]
        column = {rest: number for number, rest in enumerate(rests)}
        shape = (len(table.terms), dim, len(rests))
        position = [
            (output * dim + term.factors[-1]) * len(rests) + column[term.factors[:-1]]
            for output, terms in enumerate(table.terms)
            for term in terms
        ]
        first, second = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).to(device).unbind(1)
        coefficients = [term.coefficient for term in all_terms]
        return cls(
            pairs=(first, second),
            shape=shape,
            position=torch.tensor(position, device=device),
            path=torch.tensor([term.path for term in all_terms], device=device),
            coefficient=torch.tensor(coefficients, dtype=torch.float64, device=device),
        )


def _polynomials(matrix: _TermMatrix, features: Tensor, weights: Tensor) -> Tensor:
    """Evaluate atoms of one element: for each channel, one matrix product over the atoms."""
    n_out, dim, n_rest = matrix.shape
    n_channels = weights.shape[1]
    terms = weights[matrix.path] * matrix.coefficient.to(weights).unsqueeze(1)
    flat = terms.new_zeros(n_out * dim * n_rest, n_channels).index_add(0, matrix.position, terms)
    t = flat.view(n_out * dim, n_rest, n_channels).permute(2, 0, 1)
    a = features.view(-1, dim, n_channels).permute(2, 1, 0).contiguous()
    first, second = matrix.pairs
    rests = torch.cat([torch.ones_like(a[:, :1]), a, a[:, first] * a[:, second]], dim=1)
    summed = torch.bmm(t, rests).unflatten(1, (n_out, dim))
    return (summed * a.unsqueeze(1)).sum(2).permute(2, 1, 0).flatten(1)


@functools.cache
def _term_matrix(table: ProductTable, device: torch.device) -> _TermMatrix:
    return _TermMatrix.of(table, device)
