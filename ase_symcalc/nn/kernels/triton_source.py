"""Triton source for one path table: what `emit` writes for a CPU, written for a GPU.

Wigner 3j symbols become constants and couplings straight-line code. A program works on one row
(a centre, a neighbour, an edge, some edges of an interval) and some neighbouring channels, runs
over the row's edges in order and writes what nobody else writes: no atomics, no order that
changes between runs. Five kernels:

- ``g``, ``x``: as in `emit`; a program has channels of one input block, its sums in registers.
- ``yb``, ``y``, ``b``: for each edge, over all channels; only what is asked for is read or formed.
- ``t``: edges of an interval come in chunks, so that a crowded interval is many programs' work;
  each leaves its share of the interval's knots in a row of its own.
- ``knots``: for each knot, over the chunks of the intervals that it belongs to.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from ase_symcalc.nn.kernels.paths import Path, PathTable
from ase_symcalc.nn.layout import Block

Real = Literal["float32", "float64"]

ARGUMENTS = {
    "g": ("start", "neighbour", "interval", "x", "y", "b", "t", "out"),
    "x": ("start", "order", "centre", "interval", "g", "y", "b", "t", "out"),
    "yb": ("centre", "neighbour", "interval", "g", "x", "y", "b", "t", "dy", "db"),
    "y": ("centre", "neighbour", "interval", "g", "x", "b", "t", "dy"),
    "b": ("centre", "neighbour", "interval", "g", "x", "y", "t", "db"),
    "t": ("start", "stop", "order", "centre", "neighbour", "g", "x", "y", "b", "out"),
    "knots": ("start", "parts", "out"),
}
"""Pointers that each kernel takes, in order."""

_HEADER = "import triton\nimport triton.language as tl\n"
_COLUMNS = 128  # that a program of ``knots`` adds up


@dataclass(frozen=True, slots=True)
class Source:
    """A module's text; ``kernel`` in it runs on a grid of rows times ``n_parts``."""

    text: str
    n_parts: int


def write(table: PathTable, n_taps: int, kernel: str, real: Real) -> Source:
    """Write one kernel of `ARGUMENTS`."""
    writer = _Writer(table, n_taps, kernel, real)
    if kernel == "knots":
        writer.knots()
        n_parts = -(-table.n_weights // _COLUMNS)
    elif kernel in ("g", "x", "t"):
        n_parts = writer.by_block()
    else:
        writer.edges()
        n_parts = 1
    return Source("\n".join([_HEADER, *writer.lines, ""]), n_parts)


class _Writer:
    def __init__(self, table: PathTable, n_taps: int, kernel: str, real: Real) -> None:
        self.table, self.n_taps, self.kernel, self.real = table, n_taps, kernel, real
        self.lines: list[str] = []
        self.depth = 0
        self.constants: dict[float, str] = {}
        self.blocks: dict[Block, list[Path]] = {}
        for path in table.paths:
            self.blocks.setdefault(path.x, []).append(path)

    # --- the kernels -------------------------------------------------------------------

    def by_block(self) -> int:
        """Write a function for each input block, and the kernel that shares out the work."""
        body = {"g": self.rows_of_g, "x": self.rows_of_x, "t": self.chunks}[self.kernel]
        names = ", ".join(ARGUMENTS[self.kernel])
        calls, part = [], 0
        for number, (block, paths) in enumerate(self.blocks.items()):
            lanes = self.lanes(block.mul)
            with self.function(f"block_{number}", f"row, first, {names}"):
                self.put(f"k = first + tl.arange(0, {lanes})")
                self.open_channels(block, lanes)
                body(block, paths, lanes)
            here = part
            part += -(-block.mul // lanes)
            calls.append((part, f"block_{number}(row, (part - {here}) * {lanes}, {names})"))
        with self.function("kernel", names):
            self.put("row = tl.program_id(0).to(tl.int64)")
            self.put("part = tl.program_id(1)")
            for word, (stop, call) in zip(["if"] + ["elif"] * part, calls, strict=False):
                with self.indented(f"{word} part < {stop}:"):
                    self.put(call)
        return part

    def rows_of_g(self, block: Block, paths: list[Path], lanes: int) -> None:
        sums = [(n, c) for n, path in enumerate(paths) for c in range(2 * path.l3 + 1)]
        for n, c in sums:
            self.put(f"g{n}_{c} = {self.zeros(lanes)}")
        with self.indented("for e in range(tl.load(start + row), tl.load(start + row + 1)):"):
            self.open_edge(paths, "x", "y", "b", "t")
            self.load_x(block)
            for n, path in enumerate(paths):
                self.weight(path)
                for a in range(block.dim):
                    self.put(f"wx{a} = w * x{a}")
                for a, c in path.pairs:
                    self.put(f"g{n}_{c} += {self.matrix(path, a, c)} * wx{a}")
        self.put(f"here = out + row * {self.table.irreps_out.dim}")
        for n, c in sums:
            self.store("here", paths[n].out_offset + c * paths[n].out_stride, f"g{n}_{c}")

    def rows_of_x(self, block: Block, paths: list[Path], lanes: int) -> None:
        for a in range(block.dim):
            self.put(f"x{a} = {self.zeros(lanes)}")
        with self.indented("for n in range(tl.load(start + row), tl.load(start + row + 1)):"):
            self.put("e = tl.load(order + n)")
            self.open_edge(paths, "g", "y", "b", "t")
            for path in paths:
                self.weight(path)
                self.load_g(path)
                for a in range(block.dim):
                    terms = [f"{self.matrix(path, a, c)} * g{c}" for a_, c in path.pairs if a_ == a]
                    self.put(f"x{a} += w * ({' + '.join(terms)})")
        self.put(f"here = out + row * {self.table.irreps_x.dim}")
        for a in range(block.dim):
            self.store("here", block.offset + a * block.mul, f"x{a}")

    def chunks(self, block: Block, paths: list[Path], lanes: int) -> None:
        sums = [(n, q) for n in range(len(paths)) for q in range(self.n_taps)]
        for n, q in sums:
            self.put(f"t{n}_{q} = {self.zeros(lanes)}")
        with self.indented("for n in range(tl.load(start + row), tl.load(stop + row)):"):
            self.put("e = tl.load(order + n)")
            self.open_edge(paths, "g", "x", "y", "b")
            self.load_x(block)
            for n, path in enumerate(paths):
                self.couple(path)
                self.put(f"dw = {self.contract_y(path)}")
                for q in range(self.n_taps):
                    self.put(f"t{n}_{q} += b{q} * dw")
        n_weights = self.table.n_weights
        self.put(f"here = out + row * {self.n_taps * n_weights}")
        for n, q in sums:
            self.store("here", q * n_weights + paths[n].w_offset, f"t{n}_{q}")

    def edges(self) -> None:
        lanes = self.lanes(max(block.mul for block in self.blocks))
        names = ARGUMENTS[self.kernel]
        sizes = {"y": self.table.n_sh, "b": self.n_taps}
        sums = [(name, n) for name in self.kernel for n in range(sizes[name])]
        with self.function("kernel", ", ".join(names)):
            self.put("e = tl.program_id(0).to(tl.int64)")
            self.open_edge(list(self.table.paths), *(n for n in "gxybt" if n in names))
            self.put(f"lanes = tl.arange(0, {lanes})")
            for name, n in sums:
                self.put(f"d{name}{n} = {self.zeros(lanes)}")
            for block, paths in self.blocks.items():
                with self.indented(f"for first in range(0, {block.mul}, {lanes}):"):
                    self.put("k = first + lanes")
                    self.open_channels(block, lanes)
                    self.load_x(block)
                    for path in paths:
                        self.share_of_edge(path)
            for name, n in sums:
                where = f"d{name} + (e * {sizes[name]} + {n})"
                self.put(f"tl.store({where}, tl.sum(d{name}{n}, axis=0))")

    def share_of_edge(self, path: Path) -> None:
        """Add what a path contributes to the derivatives by y and b."""
        self.couple(path)
        for q in range(self.n_taps):
            self.put(f"tap{q} = {self.load('te', q * self.table.n_weights + path.w_offset)}")
        if "y" in self.kernel:
            self.put(f"w = {_sum(f'b{q} * tap{q}' for q in range(self.n_taps))}")
            for m in range(2 * path.l2 + 1):
                self.put(f"dy{path.l2**2 + m} += w * u{m}")
        if "b" in self.kernel:
            self.put(f"dw = {self.contract_y(path)}")
            for q in range(self.n_taps):
                self.put(f"db{q} += tap{q} * dw")

    def knots(self) -> None:
        """Sum, for a knot, the shares of the intervals it is knot 0, 1, … of.

        ``start`` has ``n_taps - 1`` intervals without chunks on either side.
        """
        n_weights, n_taps = self.table.n_weights, self.n_taps
        with self.function("kernel", ", ".join(ARGUMENTS["knots"])):
            self.put("row = tl.program_id(0).to(tl.int64)")
            self.put(f"k = tl.program_id(1) * {_COLUMNS} + tl.arange(0, {_COLUMNS})")
            self.put(f"live = k < {n_weights}")
            self.put(f"total = {self.zeros(_COLUMNS)}")
            for q in range(n_taps):
                self.put(f"begin = start + (row + {n_taps - 1 - q})")
                with self.indented("for n in range(tl.load(begin), tl.load(begin + 1)):"):
                    self.put(f"part = parts + (n * {n_taps} + {q}) * {n_weights}")
                    self.put("total += tl.load(part + k, mask=live, other=0.0)")
            self.put(f"tl.store(out + row * {n_weights} + k, total, mask=live)")

    # --- parts of a kernel -------------------------------------------------------------

    def open_edge(self, paths: list[Path], *given: str) -> None:
        """Point to the rows of an edge, and load its numbers that all channels share."""
        if "g" in given:
            self.put(f"gi = g + tl.load(centre + e) * {self.table.irreps_out.dim}")
        if "x" in given:
            self.put(f"xj = x + tl.load(neighbour + e) * {self.table.irreps_x.dim}")
        if "t" in given:
            self.put(f"te = t + tl.load(interval + e) * {self.table.n_weights}")
        if "y" in given:
            for l in sorted({path.l2 for path in paths}):
                for c in range(l**2, (l + 1) ** 2):
                    self.put(f"y{c} = tl.load(y + (e * {self.table.n_sh} + {c}))")
        if "b" in given:
            for q in range(self.n_taps):
                self.put(f"b{q} = tl.load(b + (e * {self.n_taps} + {q}))")

    def open_channels(self, block: Block, lanes: int) -> None:
        """Say which of the lanes have a channel, if not all do."""
        self.mask = ", mask=live" if block.mul % lanes else ""
        if self.mask:
            self.put(f"live = k < {block.mul}")

    def load_x(self, block: Block) -> None:
        for a in range(block.dim):
            self.put(f"x{a} = {self.load('xj', block.offset + a * block.mul)}")

    def load_g(self, path: Path) -> None:
        for c in range(2 * path.l3 + 1):
            self.put(f"g{c} = {self.load('gi', path.out_offset + c * path.out_stride)}")

    def weight(self, path: Path) -> None:
        n_weights = self.table.n_weights
        taps = [self.load("te", q * n_weights + path.w_offset) for q in range(self.n_taps)]
        self.put(f"w = {_sum(f'b{q} * {tap}' for q, tap in enumerate(taps))}")

    def couple(self, path: Path) -> None:
        """u[m2] = Σ_{m1 m3} C x[m1] g[m3]."""
        self.load_g(path)
        for a, c in path.pairs:
            self.put(f"xg{a}_{c} = x{a} * g{c}")
        for m in range(2 * path.l2 + 1):
            terms = [(a, c, v) for a, m2, c, v in path.terms if m2 == m]
            self.put(f"u{m} = {_sum(f'{self.constant(v)} * xg{a}_{c}' for a, c, v in terms)}")

    def contract_y(self, path: Path) -> str:
        """∂F/∂w = Σ_m2 y[m2] u[m2]."""
        return _sum(f"y{path.l2**2 + m} * u{m}" for m in range(2 * path.l2 + 1))

    def matrix(self, path: Path, a: int, c: int) -> str:
        """M[m1, m3] = Σ_m2 C[m1, m2, m3] y[m2], one number for all channels."""
        terms = [(m2, v) for a_, m2, c_, v in path.terms if (a_, c_) == (a, c)]
        y = path.l2**2
        return f"({_sum(f'{self.constant(v)} * y{y + m2}' for m2, v in terms)})"

    # --- text --------------------------------------------------------------------------

    @contextmanager
    def function(self, name: str, arguments: str) -> Iterator[None]:
        self.put("\n@triton.jit")
        with self.indented(f"def {name}({arguments}):"):
            here, self.constants = len(self.lines), {}
            yield
            # made with their dtype: bare literals of a kernel may be rounded to float32
            self.lines[here:here] = [
                f"    {name} = tl.full((), {value!r}, tl.{self.real})"
                for value, name in self.constants.items()
            ]

    @contextmanager
    def indented(self, line: str) -> Iterator[None]:
        self.put(line)
        self.depth += 1
        yield
        self.depth -= 1

    def put(self, line: str) -> None:
        self.lines.append("    " * self.depth + line)

    def constant(self, value: float) -> str:
        return self.constants.setdefault(value, f"c{len(self.constants)}")

    def load(self, row: str, where: int) -> str:
        return f"tl.load({row} + ({where} + k){self.mask and self.mask + ', other=0.0'})"

    def store(self, row: str, where: int, value: str) -> None:
        self.put(f"tl.store({row} + ({where} + k), {value}{self.mask})")

    def zeros(self, lanes: int) -> str:
        return f"tl.zeros(({lanes},), tl.{self.real})"

    def lanes(self, n_channels: int) -> int:
        """Channels of a program: two for each thread of a warp in float32, one in float64."""
        most = 64 if self.real == "float32" else 32
        return min(most, 1 << (n_channels - 1).bit_length())


def _sum(terms: Iterator[str]) -> str:
    return " + ".join(terms)
