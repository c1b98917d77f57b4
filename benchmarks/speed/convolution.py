"""The compiled convolution against e3nn's TensorProduct and a scatter, forward and backward.

    python benchmarks/speed/convolution.py --out convolution.json

128 channels, scalars and vectors coupled with harmonics up to l = 3, as in the layers of
MACE- and NequIP-type networks. Both sides get the same numbers and their results are compared.
e3nn is handed its radial weights; ours are formed inside the kernel from spline coefficients.
"""

import argparse
import json
import sys
from pathlib import Path

import torch
from e3nn.o3 import Irreps, TensorProduct

sys.path.insert(0, str(Path(__file__).parents[1]))
from _timing import about, interleaved

from ase_symcalc.nn.kernels.adjacency import Adjacency
from ase_symcalc.nn.kernels.contraction import convolve
from ase_symcalc.nn.kernels.paths import PathTable
from ase_symcalc.nn.layout import blocks, from_e3nn, to_e3nn


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--edges", type=int, default=20_000)
    parser.add_argument("--atoms", type=int, default=500)
    parser.add_argument("--channels", type=int, default=128)
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--out", help="write the numbers as JSON")
    args = parser.parse_args()
    dtype = getattr(torch, args.dtype)
    torch.set_default_dtype(dtype)  # e3nn's constants are made in it
    torch.manual_seed(0)

    irreps_sh = Irreps.spherical_harmonics(3)
    irreps_x = Irreps(f"{args.channels}x0e+{args.channels}x1o")
    table = PathTable.build(irreps_x, irreps_sh, Irreps("0e+1o+2e+3o"))
    centre = torch.randint(0, args.atoms, (args.edges,)).sort().values
    neighbour = (centre + torch.randint(1, 30, (args.edges,))) % args.atoms  # near in memory
    interval = torch.randint(0, 128, (args.edges,))
    adjacency = Adjacency.build(
        centre,
        neighbour,
        interval,
        n_centres=args.atoms,
        n_rows=args.atoms,
        n_intervals=128,
        n_taps=4,
    )
    x = torch.randn(args.atoms, irreps_x.dim, requires_grad=True)
    y = torch.randn(args.edges, irreps_sh.dim, requires_grad=True)
    b = torch.randn(args.edges, 4, requires_grad=True)
    t = torch.randn(adjacency.n_knots, table.n_weights)
    g = torch.randn(args.atoms, table.irreps_out.dim)

    middle = Irreps([(p.x.mul, (p.l3, (-1) ** p.l3)) for p in table.paths])
    paths = [(blocks(irreps_x).index(p.x), p.l2, n, "uvu", True) for n, p in enumerate(table.paths)]
    product = TensorProduct(
        irreps_x, irreps_sh, middle, paths, shared_weights=False, internal_weights=False
    )
    w = torch.einsum("eq,eqp->ep", b, t[interval.unsqueeze(1) + torch.arange(4)]).detach()
    w.requires_grad_()
    x_e3nn = to_e3nn(x, irreps_x).detach().requires_grad_()
    g_e3nn = torch.randn(args.atoms, middle.dim)

    def ours():
        out = convolve(table, adjacency, x, y, b, t)
        torch.autograd.grad(out, (x, y, b), g)

    def theirs():
        messages = product(x_e3nn.index_select(0, neighbour), y, w)
        out = messages.new_zeros(args.atoms, middle.dim).index_add(0, centre, messages)
        torch.autograd.grad(out, (x_e3nn, y, w), g_e3nn)

    check(table, middle, adjacency, product, x, y, b, t, w)
    runs = []
    for threads in args.threads:
        torch.set_num_threads(threads)
        times = interleaved({"ase_symcalc": ours, "e3nn": theirs}, seconds=args.seconds)
        ratio = {c: times["e3nn"][c] / times["ase_symcalc"][c] for c in ("wall", "cpu")}
        runs.append({"threads": threads, "times": times, "ratio": ratio})
        for name, row in times.items():
            print(f"{name:12}{1e3 * row['wall']:10.1f} ms wall {1e3 * row['cpu']:10.1f} ms CPU")
        print(
            f"{threads} threads: {ratio['wall']:.0f} times faster, {ratio['cpu']:.0f} in CPU time"
        )
    if args.out:
        result = about(settings=vars(args), runs=runs)
        Path(args.out).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def check(table, middle, adjacency, product, x, y, b, t, w):
    """Raise if the two sides do not compute the same."""
    ours = convolve(table, adjacency, x, y, b, t)
    messages = product(to_e3nn(x, table.irreps_x)[adjacency.neighbour], y, w)
    theirs = messages.new_zeros(adjacency.n_centres, middle.dim)
    theirs = theirs.index_add(0, adjacency.centre, messages)
    scale = theirs.abs().max()
    for path, columns in zip(table.paths, middle.slices(), strict=True):
        piece = from_e3nn(theirs[:, columns], Irreps([(path.x.mul, (path.l3, 1))]))
        for m in range(2 * path.l3 + 1):
            start = path.out_offset + m * path.out_stride
            a = ours[:, start : start + path.x.mul]
            c = piece[:, m * path.x.mul : (m + 1) * path.x.mul]
            if (a - c).abs().max() > 1e-5 * scale:
                raise SystemExit("the two convolutions differ")


if __name__ == "__main__":
    main()
