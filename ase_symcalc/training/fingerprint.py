"""A few numbers that are the same for the same structure, however it is turned or repeated.

Sums over pairs and over the products of two neighbours, up to l = 2, of the kind of the
power spectrum of A. P. Bartók, R. Kondor and G. Csányi, Phys. Rev. B 87, 184115 (2013), with
few radial functions and elements told apart by their number alone: enough to find equal
structures, not to learn from.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float32
from torch import Tensor

from ase_symcalc.graph import AtomicGraph
from ase_symcalc.graph.geometry import edge_vectors

N_RADIAL = 6


def fingerprint(graph: AtomicGraph) -> Float32[Tensor, "n_numbers"]:
    """Mean and mean square over the atoms of one structure; smooth as atoms move."""
    atoms = environments(graph)
    return torch.cat([atoms, atoms.square()], dim=1).mean(dim=0)


def same_environments(one: AtomicGraph, other: AtomicGraph, tolerance: float) -> bool:
    """Whether the environments of the atoms are distributed alike, not only on average.

    ``tolerance`` is relative to the largest number of its kind.
    """
    longest = math.lcm(one.n_atoms, other.n_atoms)  # a cell may be a multiple of the other
    first, second = (
        environments(graph).sort(dim=0).values.repeat_interleave(longest // graph.n_atoms, dim=0)
        for graph in (one, other)
    )
    return bool(((first - second).abs() <= tolerance * first.abs().amax(dim=0) + 1e-6).all())


def environments(graph: AtomicGraph) -> Float32[Tensor, "n_atoms n_numbers"]:
    """Numbers of each atom that change neither with the frame nor with the order of atoms."""
    centre, neighbour = graph.edge_index
    vectors = edge_vectors(graph).float()
    lengths = vectors.norm(dim=1).clamp(min=1e-3)
    x = (lengths / graph.cutoff).unsqueeze(1)
    waves = torch.arange(1, N_RADIAL + 1) * torch.pi
    radial = (1 - x * x).square() * torch.sin(waves * x) / lengths.unsqueeze(1)
    number = (graph.atomic_numbers.float() / 30).sqrt()
    neighbours = radial * number[neighbour].unsqueeze(1)
    pairs = neighbours * number[centre].unsqueeze(1)
    directions = vectors / lengths.unsqueeze(1)
    quadrupole = directions[:, :, None] * directions[:, None, :] - torch.eye(3) / 3
    first = neighbours[:, :1]

    def sums(rows: Tensor) -> Tensor:
        zero = rows.new_zeros(graph.n_atoms, rows.shape[1])
        return zero.index_add(0, centre, rows)

    scalars = sums(torch.cat([radial, pairs], dim=1))
    polar = sums(torch.cat([first * directions, first * quadrupole.flatten(1)], dim=1)).square()
    return torch.cat([scalars, polar[:, :3].sum(1, True), polar[:, 3:].sum(1, True)], dim=1)
