"""From scalar features to energies and back as compiled code, in float64."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from llvmlite import ir

from ase_symcalc.nn.kernels.activations import activation
from ase_symcalc.nn.kernels.builder import KernelBuilder
from ase_symcalc.nn.kernels.machine import compiled

_REALS = ("features", "maps", "references", "scales", "weights", "energies", "slope")


@compiled(1 + len(_REALS))
def readout_kernel(
    sizes: tuple[int, ...], columns: tuple[int, int], function: str, real: str
) -> str:
    """``kernel(first, last, species, *_REALS)`` on addresses.

    To the energies of atoms it adds reference + scale · perceptron(scalars), the function
    between the perceptron's maps, which follow each other and lead through layers of these
    ``sizes`` to one number. The scalars begin at the first of the ``columns`` of a row of
    features, which has as many numbers as the second says; features are in the network's
    precision. To ``slope`` goes the gradient of the energies, times the atoms' ``weights``, by
    the features.
    """
    emitter = _Readout(sizes, columns, function, real)
    with emitter.loop(emitter.arg["first"], emitter.arg["last"]) as n:
        emitter.write(n)
    return emitter.finish()


class _Readout(KernelBuilder):
    def __init__(
        self, sizes: tuple[int, ...], columns: tuple[int, int], function: str, real: str
    ) -> None:
        super().__init__("double", ("species",), _REALS)
        self.sizes, (self.column, self.dim), self.function = sizes, columns, function
        self.kind = ir.FloatType() if real == "float" else self.real
        shapes = [a * b for a, b in itertools.pairwise(sizes)]
        self.starts = list(itertools.accumulate(shapes, initial=0))
        # numbers of each layer, and for those within the slopes of their activations
        self.layers = [self.buffer(size, 1) for size in sizes]
        self.slopes = [self.buffer(size, 1) for size in sizes]
        for name in ("layers", "slopes"):
            flat = [self.b.bitcast(p, self.real.as_pointer()) for p in getattr(self, name)]
            setattr(self, name, flat)

    def write(self, n: ir.Value) -> None:
        b = self.b
        species = b.load(self.at(self.arg["species"], n))
        scale = b.load(self.at(self.arg["scales"], species))
        self.read_features(n)
        for m in range(len(self.sizes) - 1):
            self.multiply(m)
            self.activate(m + 1)
        energy = self.dot(self.layers[-1], self.map_row(len(self.sizes) - 1), self.sizes[-1])
        energy = self.fma(scale, energy, b.load(self.at(self.arg["references"], species)))
        place = self.at(self.arg["energies"], n)
        b.store(b.fadd(b.load(place), energy), place)
        self.pull_back(b.fmul(scale, b.load(self.at(self.arg["weights"], n))))
        self.write_slope(n)

    def read_features(self, n: ir.Value) -> None:
        row = self.network_row("features", n)
        for k, width in self.strips(self.sizes[0]):
            pointer = self.at(row, self.b.add(k, self.index(self.column)))
            value = self.load_network(pointer, width)
            self.store(value, self.layers[0], k, 0, width)

    def multiply(self, m: int) -> None:
        """From one layer to the next: rows of the map, added as often as the layer says."""
        weights, size = self.map_row(m), self.sizes[m + 1]
        for k, width in self.strips(size):
            total = self.buffer(1, width)
            self.b.store(self.constant(0.0, width), total)
            with self.loop(self.index(0), self.index(self.sizes[m])) as i:
                x = self.splat(self.b.load(self.at(self.layers[m], i)), width)
                row = self.at(weights, self.b.mul(i, self.index(size)))
                self.accumulate(total, 0, x, self.load(row, k, 0, width))
            self.store(self.b.load(total), self.layers[m + 1], k, 0, width)

    def activate(self, layer: int) -> None:
        for k, width in self.strips(self.sizes[layer]):
            x = self.load(self.layers[layer], k, 0, width)
            value, slope = activation(self, self.function, x)
            self.store(value, self.layers[layer], k, 0, width)
            self.store(slope, self.slopes[layer], k, 0, width)

    def pull_back(self, factor: ir.Value) -> None:
        """Gradient of ``factor`` times the perceptron by each layer, in the layer's place."""
        last = len(self.sizes) - 1
        for k, width in self.strips(self.sizes[last]):
            value = self.b.fmul(self.load(self.map_row(last), k, 0, width),
                                self.splat(factor, width))  # fmt: skip
            self.store(value, self.layers[last], k, 0, width)
        for m in range(last - 1, -1, -1):
            size = self.sizes[m + 1]
            for k, width in self.strips(size):
                g = self.load(self.layers[m + 1], k, 0, width)
                slope = self.load(self.slopes[m + 1], k, 0, width)
                self.store(self.b.fmul(g, slope), self.layers[m + 1], k, 0, width)
            with self.loop(self.index(0), self.index(self.sizes[m])) as i:
                row = self.at(self.map_row(m), self.b.mul(i, self.index(size)))
                total = self.dot(self.layers[m + 1], row, size)
                self.b.store(total, self.at(self.layers[m], i))

    def write_slope(self, n: ir.Value) -> None:
        row = self.network_row("slope", n)
        with self.loop(self.index(0), self.index(self.dim)) as k:
            self.b.store(ir.Constant(self.kind, 0.0), self.at(row, k))
        for k, width in self.strips(self.sizes[0]):
            value = self.load(self.layers[0], k, 0, width)
            vector = ir.VectorType(self.kind, width)
            if self.kind != self.real:
                value = self.b.fptrunc(value, vector)
            pointer = self.at(row, self.b.add(k, self.index(self.column)))
            pointer = self.b.bitcast(pointer, vector.as_pointer())
            self.b.store(value, pointer, align=4)

    def dot(self, one: ir.Value, other: ir.Value, size: int) -> ir.Value:
        width = self.widest(size)
        total = self.buffer(1, width)
        self.b.store(self.constant(0.0, width), total)
        with self.loop(self.index(0), self.index(size), width) as k:
            self.accumulate(total, 0, self.load(one, k, 0, width), self.load(other, k, 0, width))
        return self.horizontal(self.b.load(total), width)

    def strips(self, size: int) -> Iterator[tuple[ir.Value, int]]:
        """Loop over the numbers of a layer, a vector at a time."""
        width = self.widest(size)
        with self.loop(self.index(0), self.index(size), width) as k:
            yield k, width

    def map_row(self, m: int) -> ir.Value:
        return self.at(self.arg["maps"], self.index(self.starts[m]))

    def network_row(self, name: str, n: ir.Value) -> ir.Value:
        pointer = self.b.bitcast(self.arg[name], self.kind.as_pointer())
        return self.at(pointer, self.b.mul(n, self.index(self.dim)))

    def load_network(self, pointer: ir.Value, width: int) -> ir.Value:
        vector = ir.VectorType(self.kind, width)
        value = self.b.load(self.b.bitcast(pointer, vector.as_pointer()), align=4)
        return value if self.kind == self.real else self.b.fpext(value, self.vector(width))
