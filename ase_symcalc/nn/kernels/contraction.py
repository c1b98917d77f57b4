"""The tensor-product convolution as one multilinear form, closed under differentiation.

With edges e: centre i ← neighbour j, paths p: l1 ⊗ l2 → l3 and channels k,

    F(g, x, y, b, t) = Σ_e Σ_p Σ_k w[e,p,k] Σ_{m1 m2 m3} C^p[m1,m2,m3]
                       x[j(e),m1,k] y[e,m2] g[i(e),m3 of p,k]

    w[e,p,k] = Σ_q b[e,q] t[interval(e)+q,p,k]

where t is a radial function on a grid and b the values at r_e of the few spline functions that
are not zero there (or t holds a row of weights for each edge, and b is 1). The weights of an
edge are formed in registers and never stored, nor are messages.

The convolution is ∂F/∂g; the other four contractions are its derivatives, and theirs
(`nn.multilinear`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from ase_symcalc.nn.kernels import compiled, reference, triton_kernels
from ase_symcalc.nn.kernels.adjacency import Adjacency
from ase_symcalc.nn.kernels.paths import PathTable
from ase_symcalc.nn.multilinear import Arguments, derivative

Backend = Callable[[PathTable, Adjacency, tuple[str, ...], Arguments], dict[str, Tensor]]
BACKENDS: dict[str, Backend] = {"cpu": compiled.contract, "cuda": triton_kernels.contract}
"""By device type; any other device runs the plain torch reference."""


@dataclass(frozen=True, slots=True)
class _Convolution:
    """The form F over the edges of a graph."""

    names: ClassVar[tuple[str, ...]] = ("g", "x", "y", "b", "t")
    table: PathTable
    adjacency: Adjacency

    def contract(self, wanted: tuple[str, ...], args: Arguments) -> dict[str, Tensor]:
        device = next(a for a in args.values() if a is not None).device.type
        backend = BACKENDS.get(device, reference.contract)
        return backend(self.table, self.adjacency, wanted, args)


def convolve(
    table: PathTable,
    adjacency: Adjacency,
    x: Float[Tensor, "n_rows dim_x"],
    y: Float[Tensor, "n_edges n_sh"],
    b: Float[Tensor, "n_edges n_taps"],
    t: Float[Tensor, "n_knots n_weights"],
) -> Float[Tensor, "n_centres dim_out"]:
    """Sum over each centre's edges of ``w · (x ⊗ y)``, every channel by itself.

    Parameters
    ----------
    table : PathTable
    adjacency : Adjacency
    x : (n_rows, irreps_x.dim) tensor
        Features of the rows neighbours point to, channel-last.
    y : (n_edges, (lmax + 1)²) tensor
        Spherical harmonics of the edge vectors.
    b : (n_edges, n_taps) tensor
        Spline functions at the edge lengths.
    t : (n_knots, n_weights) tensor
        Radial weights of each path and channel on the grid.

    Returns
    -------
    (n_centres, irreps_out.dim) tensor
        Channel-last; differentiable any number of times in x, y, b and t.
    """
    return derivative(_Convolution(table, adjacency), "g", x=x, y=y, b=b, t=t)
