"""Straight-line machine code for one path table, written with LLVM's own builder.

Wigner 3j symbols become constants, couplings become unrolled multiply-adds, and the only
loops left run over atoms, edges and blocks of channels. Four kernels hold the five
contractions of `contraction`:

- ``g``: for each centre, over its edges; adds to the centre's output row, which stays in the
  first-level cache. Messages are never stored.
- ``x``: the same over the edges that end at each neighbour.
- ``yb``: for each edge, adds the derivatives by its harmonics and its spline functions.
- ``t``: for each interval of the radial grid, over the edges that fall into it; what they add
  to the ``n_taps`` knots of the interval is kept apart, so that intervals are independent.

All take ``first`` and ``last``, which bound the rows of this call, `INDICES` and `REALS`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from llvmlite import ir

from ase_symcalc.nn.kernels.builder import KernelBuilder
from ase_symcalc.nn.kernels.paths import Path, PathTable

INDICES = ("start", "order", "centre", "neighbour", "interval")
"""Row starts, edge order (null: as it is) and the indices of an edge, as in `Adjacency`."""
REALS = ("g", "x", "y", "b", "t", "dy", "db", "dt")


def emit(table: PathTable, n_taps: int, kernel: str, real: str) -> str:
    """Write one kernel ("g", "x", "yb", "t") as LLVM assembly, for "float" or "double"."""
    builder = _Emitter(table, n_taps, real)
    write = {
        "g": builder.rows_of_g,
        "x": builder.rows_of_x,
        "yb": builder.edges,
        "t": builder.intervals,
    }
    write[kernel]()
    return builder.finish()


class _Emitter(KernelBuilder):
    def __init__(self, table: PathTable, n_taps: int, real: str) -> None:
        super().__init__(real, INDICES, REALS)
        self.table, self.n_taps = table, n_taps

    # --- the four kernels ------------------------------------------------------------

    def rows_of_g(self) -> None:
        m = self.matrix_buffer()
        with self.loop(self.arg["first"], self.arg["last"]) as i:
            out = self.row("g", i, self.table.irreps_out.dim)
            with self.edges_of(i) as e:
                y = self.row("y", e, self.table.n_sh)
                self.open_weights(e)
                j = self.b.load(self.at(self.arg["neighbour"], e))
                x = self.row("x", j, self.table.irreps_x.dim)
                self.store_matrices(y, m)
                for paths, width, k in self.channel_blocks():
                    block = paths[0].x
                    xs = [
                        self.load(x, k, block.offset + a * block.mul, width)
                        for a in range(block.dim)
                    ]
                    for path in paths:
                        wk = self.weight(k, path, width)
                        wx = [self.b.fmul(wk, v) for v in xs]
                        for c in range(2 * path.l3 + 1):
                            where = path.out_offset + c * path.out_stride
                            total = self.load(out, k, where, width)
                            for a, c_ in path.pairs:
                                if c_ == c:
                                    total = self.fma(
                                        self.matrix(m, path, a, c, width), wx[a], total
                                    )
                            self.store(total, out, k, where, width)

    def rows_of_x(self) -> None:
        m = self.matrix_buffer()
        with self.loop(self.arg["first"], self.arg["last"]) as j:
            out = self.row("x", j, self.table.irreps_x.dim)
            with self.edges_of(j, ordered=True) as e:
                y = self.row("y", e, self.table.n_sh)
                self.open_weights(e)
                i = self.b.load(self.at(self.arg["centre"], e))
                g = self.row("g", i, self.table.irreps_out.dim)
                self.store_matrices(y, m)
                for paths, width, k in self.channel_blocks():
                    block = paths[0].x
                    where = [block.offset + a * block.mul for a in range(block.dim)]
                    total = [self.load(out, k, o, width) for o in where]
                    for path in paths:
                        wk = self.weight(k, path, width)
                        gs = self.load_g(g, k, path, width)
                        for a in range(block.dim):
                            terms = [(a_, c) for a_, c in path.pairs if a_ == a]
                            if not terms:
                                continue
                            t = None
                            for _, c in terms:
                                t = self.fma(self.matrix(m, path, a, c, width), gs[c], t)
                            total[a] = self.fma(wk, t, total[a])
                    for a, o in enumerate(where):
                        self.store(total[a], out, k, o, width)

    def edges(self) -> None:
        widths = sorted({self.width(p) for p in self.table.paths})
        with self.loop(self.arg["first"], self.arg["last"]) as e:
            g, x, y = self.open_edge(e)
            sums = {
                name: {v: self.zeros(size, v) for v in widths}
                for name, size in (("dy", self.table.n_sh), ("db", self.n_taps))
            }
            for path, width, k, u in self.couplings(g, x):
                taps = self.taps(k, path, width)
                wk = self.combine(taps, width)
                for m2, value in enumerate(u):
                    self.accumulate(sums["dy"][width], path.l2**2 + m2, wk, value)
                dw = self.contract_y(u, y, path, width)
                for q, tap in enumerate(taps):
                    self.accumulate(sums["db"][width], q, tap, dw)
            for name, by_width in sums.items():
                size = self.table.n_sh if name == "dy" else self.n_taps
                row = self.row(name, e, size)
                for column in range(size):
                    parts = [
                        self.horizontal(self.b.load(self.at(pointer, self.index(column))), v)
                        for v, pointer in by_width.items()
                    ]
                    total = self.scalar(row, column)
                    for part in parts:
                        total = self.b.fadd(total, part)
                    self.b.store(total, self.at(row, self.index(column)))

    def intervals(self) -> None:
        n_weights = self.table.n_weights
        with self.loop(self.arg["first"], self.arg["last"]) as s:
            out = self.row("dt", s, self.n_taps * n_weights)
            with self.edges_of(s, ordered=True) as e:
                g, x, y = self.open_edge(e)
                for path, width, k, u in self.couplings(g, x):
                    dw = self.contract_y(u, y, path, width)
                    for q, bq in enumerate(self.basis):
                        column = q * n_weights + path.w_offset
                        before = self.load(out, k, column, width)
                        after = self.fma(self.splat(bq, width), dw, before)
                        self.store(after, out, k, column, width)

    # --- parts of a kernel ------------------------------------------------------------

    def open_edge(self, e: ir.Value) -> tuple[ir.Value, ir.Value, list[ir.Value]]:
        """Rows g and x of an edge, and its harmonics; sets its radial weights."""
        i = self.b.load(self.at(self.arg["centre"], e))
        j = self.b.load(self.at(self.arg["neighbour"], e))
        self.open_weights(e)
        y = self.row("y", e, self.table.n_sh)
        ys = [self.scalar(y, c) for c in range(self.table.n_sh)]
        return (
            self.row("g", i, self.table.irreps_out.dim),
            self.row("x", j, self.table.irreps_x.dim),
            ys,
        )

    def open_weights(self, e: ir.Value) -> None:
        """Find an edge's rows of the radial table, and load its spline functions."""
        first = self.b.load(self.at(self.arg["interval"], e))
        self.knots = self.row("t", first, self.table.n_weights)
        b = self.row("b", e, self.n_taps)
        self.basis = [self.scalar(b, q) for q in range(self.n_taps)]

    def taps(self, k: ir.Value, path: Path, width: int) -> list[ir.Value]:
        return [
            self.load(self.knots, k, q * self.table.n_weights + path.w_offset, width)
            for q in range(self.n_taps)
        ]

    def combine(self, taps: list[ir.Value], width: int) -> ir.Value:
        total = None
        for bq, tap in zip(self.basis, taps, strict=True):
            total = self.fma(self.splat(bq, width), tap, total)
        return total

    def weight(self, k: ir.Value, path: Path, width: int) -> ir.Value:
        """w[e, p, k] for a block of channels."""
        return self.combine(self.taps(k, path, width), width)

    def couplings(
        self, g: ir.Value, x: ir.Value
    ) -> Iterator[tuple[Path, int, ir.Value, list[ir.Value]]]:
        """For each path and block of channels, u[m2] = Σ_{m1 m3} C x[m1] g[m3]."""
        for paths, width, k in self.channel_blocks():
            block = paths[0].x
            xs = [self.load(x, k, block.offset + a * block.mul, width) for a in range(block.dim)]
            for path in paths:
                gs = self.load_g(g, k, path, width)
                xg = {(a, c): self.b.fmul(xs[a], gs[c]) for a, c in path.pairs}
                u: list[ir.Value] = [None] * (2 * path.l2 + 1)
                for a, m2, c, value in path.terms:
                    u[m2] = self.fma(self.constant(value, width), xg[a, c], u[m2])
                yield path, width, k, u

    def contract_y(self, u: list[ir.Value], ys: list[ir.Value], path: Path, width: int) -> ir.Value:
        """∂F/∂w of a block of channels: Σ_m2 y[m2] u[m2]."""
        total = None
        for m2, value in enumerate(u):
            total = self.fma(self.splat(ys[path.l2**2 + m2], width), value, total)
        return total

    def matrix_buffer(self) -> ir.Value:
        """Room for M[m1, m3] = Σ_m2 C[m1, m2, m3] y[m2] of all paths."""
        self.slots: dict[tuple[int, tuple[int, int]], int] = {}
        for n, path in enumerate(self.table.paths):
            for pair in path.pairs:
                self.slots[n, pair] = len(self.slots)
        self.numbers = {id(path): n for n, path in enumerate(self.table.paths)}
        return self.b.alloca(self.real, size=max(1, len(self.slots)))

    def store_matrices(self, y: ir.Value, m: ir.Value) -> None:
        ys = [self.scalar(y, c) for c in range(self.table.n_sh)]
        for n, path in enumerate(self.table.paths):
            for pair in path.pairs:
                total = None
                for a, m2, c, value in path.terms:
                    if (a, c) == pair:
                        total = self.fma(ir.Constant(self.real, value), ys[path.l2**2 + m2], total)
                self.b.store(total, self.at(m, self.index(self.slots[n, pair])))

    def matrix(self, m: ir.Value, path: Path, a: int, c: int, width: int) -> ir.Value:
        return self.splat(self.scalar(m, self.slots[self.numbers[id(path)], (a, c)]), width)

    def load_g(self, g: ir.Value, k: ir.Value, path: Path, width: int) -> list[ir.Value]:
        return [
            self.load(g, k, path.out_offset + c * path.out_stride, width)
            for c in range(2 * path.l3 + 1)
        ]

    def channel_blocks(self) -> Iterator[tuple[list[Path], int, ir.Value]]:
        """For each input block, one loop over its channels: (its paths, vector width, channel)."""
        for block in dict.fromkeys(p.x for p in self.table.paths):
            paths = [p for p in self.table.paths if p.x == block]
            width = self.width(paths[0])
            with self.loop(self.index(0), self.index(block.mul), width) as k:
                yield paths, width, k

    def width(self, path: Path) -> int:
        return self.widest(path.x.mul)

    @contextmanager
    def edges_of(self, row: ir.Value, *, ordered: bool = False) -> Iterator[ir.Value]:
        start = self.b.load(self.at(self.arg["start"], row))
        stop = self.b.load(self.at(self.arg["start"], self.b.add(row, self.index(1))))
        with self.loop(start, stop) as n:
            yield self.b.load(self.at(self.arg["order"], n)) if ordered else n
