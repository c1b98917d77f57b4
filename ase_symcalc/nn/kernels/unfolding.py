"""Edges of symmetric structures as compiled code, in float64: picked, and their gradient spread."""

from __future__ import annotations

from llvmlite import ir

from ase_symcalc.nn.kernels.builder import KernelBuilder
from ase_symcalc.nn.kernels.machine import compiled

_PICK = ("i", "j", "orbit", "row", "multiplicity", "centre", "edge_row", "counts")
_UNFOLD = ("centre", "row", "row_orbit", "row_operation", "multiplicity", "site", "site_orbit",
           "sizes")  # fmt: skip
_TENSORS = ("v", "g", "rotations", "vector_projectors", "tensor_projectors", "turns",
            "pulls", "virials", "forces", "shares")  # fmt: skip

Matrix = list[list[ir.Value]]


@compiled(len(_PICK) + 5)
def reduced_pick_kernel() -> str:
    """``kernel(first, last, *_PICK, positions, shifts, cell, limits, v)``.

    Of pairs from atoms i to atoms j, shifted by whole cells (as real numbers), those shorter than
    the first of ``limits`` are written one after the other: vector, ``centre`` (the orbit of i)
    and row. Of the ``counts``, the first becomes their number, the second the sum of the
    multiplicities of their orbits; the second of ``limits`` becomes the square of the shortest.
    """
    builder = _Tensors(_PICK, ("positions", "shifts", "cell", "limits", "v"))
    b = builder.b
    cell = builder.matrix(builder.arg["cell"])
    limit = b.load(builder.arg["limits"])
    square_limit = b.fmul(limit, limit)
    least, counts = builder.at(builder.arg["limits"], builder.index(1)), builder.arg["counts"]
    full = builder.at(counts, builder.index(1))
    b.store(ir.Constant(builder.real, float("inf")), least)
    for place in (counts, full):
        b.store(builder.index(0), place)
    with builder.loop(builder.arg["first"], builder.arg["last"]) as n:
        i, j = (b.load(builder.at(builder.arg[name], n)) for name in ("i", "j"))
        start, end = (builder.vector_at("positions", atom) for atom in (i, j))
        shift = builder.vector_at("shifts", n)
        v = [b.fsub(one, other) for one, other in zip(end, start, strict=True)]
        for whole, vector in zip(shift, cell, strict=True):
            v = [builder.fma(whole, one, total) for one, total in zip(vector, v, strict=True)]
        square = builder.dot(v, v)
        count = b.load(counts)
        # written in any case, and written over if it is not counted
        for source, target in (("orbit", "centre"), ("row", "edge_row")):
            value = b.load(builder.at(builder.arg[source], n))
            b.store(value, builder.at(builder.arg[target], count))
        builder.write(v, builder.row("v", count, 3))
        with b.if_then(b.fcmp_ordered("<", square, square_limit)):
            orbit = b.load(builder.at(builder.arg["orbit"], n))
            multiplicity = b.load(builder.at(builder.arg["multiplicity"], orbit))
            b.store(b.add(count, builder.index(1)), counts)
            b.store(b.add(b.load(full), multiplicity), full)
            known = b.load(least)
            b.store(b.select(b.fcmp_ordered("<", square, known), square, known), least)
    return builder.finish()


@compiled(len(_UNFOLD) + len(_TENSORS))
def unfolding_kernel() -> str:
    """``kernel(first, last, *_UNFOLD, *_TENSORS)``: from a gradient by edges to all atoms.

    What is written is in `evaluation.reduced_edges`. Edges have a vector v, a gradient g, a centre
    and a row, which is an image of an orbit under a rotation; atoms a site, which is that of an
    orbit under a turn. ``sizes`` are the numbers of orbits and atoms, ``pulls`` and ``virials``
    room for vectors and tensors of the orbits.
    """
    builder = _Tensors(_UNFOLD, _TENSORS)
    n_orbits, n_atoms = (
        builder.b.load(builder.at(builder.arg["sizes"], builder.index(n))) for n in range(2)
    )
    builder.clear(n_orbits)
    with builder.loop(builder.arg["first"], builder.arg["last"]) as e:
        builder.collect(e)
    with builder.loop(builder.index(0), n_orbits) as orbit:
        builder.project(orbit)
    with builder.loop(builder.index(0), n_atoms) as atom:
        builder.turn(atom)
    return builder.finish()


class _Tensors(KernelBuilder):
    def __init__(self, indices: tuple[str, ...], reals: tuple[str, ...]) -> None:
        super().__init__("double", indices, reals)

    def clear(self, n_orbits: ir.Value) -> None:
        for name, size in (("pulls", 3), ("virials", 9)):
            with self.loop(self.index(0), self.b.mul(n_orbits, self.index(size))) as k:
                self.b.store(ir.Constant(self.real, 0.0), self.at(self.arg[name], k))

    def collect(self, e: ir.Value) -> None:
        """Add what an edge means for either end, seen from the representative of its orbit."""
        centre, row = (self.entry(name, e) for name in ("centre", "row"))
        v, g = self.vector_at("v", e), self.vector_at("g", e)
        rotation = self.matrix(self.row("rotations", self.entry("row_operation", row), 9))
        turned_v, turned_g = (self.times(self.transposed(rotation), u) for u in (v, g))
        ends = (
            (centre, v, g, self.b.fadd),
            (self.entry("row_orbit", row), turned_v, turned_g, self.b.fsub),
        )
        for orbit, vector, gradient, add in ends:
            pull, virial = self.row("pulls", orbit, 3), self.row("virials", orbit, 9)
            for a in range(3):
                place = self.at(pull, self.index(a))
                self.b.store(add(self.b.load(place), gradient[a]), place)
                for c in range(3):
                    place = self.at(virial, self.index(3 * a + c))
                    total = self.fma(vector[a], gradient[c], self.b.load(place))
                    self.b.store(total, place)

    def project(self, orbit: ir.Value) -> None:
        """Divide by the multiplicity, and keep what the site allows."""
        b = self.b
        count = b.sitofp(self.entry("multiplicity", orbit), self.real)
        share = b.fdiv(ir.Constant(self.real, 1.0), count)
        pull, virial = self.row("pulls", orbit, 3), self.row("virials", orbit, 9)
        vector = [b.fmul(share, self.scalar(pull, a)) for a in range(3)]
        tensor = self.matrix(virial)
        quarter = b.fmul(ir.Constant(self.real, 0.25), share)
        flat = [
            b.fmul(quarter, b.fadd(tensor[a][c], tensor[c][a])) for a in range(3) for c in range(3)
        ]
        self.write(self.times(self.matrix(self.row("vector_projectors", orbit, 9)), vector), pull)
        projector = self.row("tensor_projectors", orbit, 81)
        self.write(self.times(self.matrix(projector, 9), flat), virial)

    def turn(self, atom: ir.Value) -> None:
        """Turn what a representative has to one of its images."""
        site = self.entry("site", atom)
        orbit, turn = self.entry("site_orbit", site), self.matrix(self.row("turns", site, 9))
        self.write(self.times(turn, self.vector_at("pulls", orbit)), self.row("forces", atom, 3))
        tensor = self.matrix(self.row("virials", orbit, 9))
        half = [self.times(self.transposed(tensor), row) for row in turn]
        whole = [self.dot(half[a], turn[c]) for a in range(3) for c in range(3)]
        self.write(whole, self.row("shares", atom, 9))

    def entry(self, name: str, n: ir.Value) -> ir.Value:
        return self.b.load(self.at(self.arg[name], n))

    def vector_at(self, name: str, n: ir.Value) -> list[ir.Value]:
        row = self.row(name, n, 3)
        return [self.scalar(row, axis) for axis in range(3)]

    def matrix(self, pointer: ir.Value, size: int = 3) -> Matrix:
        return [[self.scalar(pointer, size * a + c) for c in range(size)] for a in range(size)]

    def transposed(self, matrix: Matrix) -> Matrix:
        return [list(column) for column in zip(*matrix, strict=True)]

    def times(self, matrix: Matrix, vector: list[ir.Value]) -> list[ir.Value]:
        return [self.dot(row, vector) for row in matrix]

    def dot(self, one: list[ir.Value], other: list[ir.Value]) -> ir.Value:
        total = None
        for x, y in zip(one, other, strict=True):
            total = self.fma(x, y, total)
        return total

    def write(self, values: list[ir.Value], pointer: ir.Value) -> None:
        for n, value in enumerate(values):
            self.b.store(value, self.at(pointer, self.index(n)))
