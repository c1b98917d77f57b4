"""Weights of a MACE network, from the way mace-torch keeps them to the way ours does."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import cast

import torch
from e3nn.o3 import Irrep, Irreps
from torch import Tensor

from ase_symcalc.models import AbstractEnergyModel, build_model
from ase_symcalc.models.mace import MACE, Layer
from ase_symcalc.models.mace_config import MACEConfig
from ase_symcalc.nn.activation import SILU_GAIN
from ase_symcalc.nn.interaction import natural_irreps
from ase_symcalc.nn.kernels.paths import PathTable
from ase_symcalc.nn.layout import blocks
from ase_symcalc.nn.product_table import ProductTable
from ase_symcalc.potential_files.convert.e3nn_weights import (
    Matrices,
    Tensors,
    linear,
    species_linear,
)
from ase_symcalc.potential_files.convert.pickled_module import PickledModule, silu_gain

MOST_LAYERS = 32
TRANSFORM_CONSTANTS = {"agnesi": ("a", "q", "p"), "soft": ("alpha",)}

_EVEN = Irrep("0e")
# what says nothing new: flags of zeros, and the cutoff once more
_CONSTANTS = re.compile(r"output_mask$|_zeroed$|_fn\.r_max$|^num_interactions$")


@dataclass(frozen=True, slots=True)
class Head:
    """Which of several energies is read."""

    number: int
    count: int


class MACEWeights:
    """Takes the tensors out of one model, for one head.

    Attributes
    ----------
    dtype : str
        Of the weights in the file.
    """

    def __init__(
        self, root: PickledModule, tensors: Tensors, config: MACEConfig, head: Head
    ) -> None:
        self.root, self.tensors, self.config, self.head = root, tensors, config, head
        self.interactions = root.children("interactions")
        stored = tensors.named["node_embedding.linear.weight"].dtype
        self.dtype = str(stored).removeprefix("torch.")
        self.n_elements, self.channels = len(config.elements), config.num_channels

    def network(self, odd_sign: int) -> AbstractEnergyModel:
        """Build the network in float64 and put the weights in.

        ``odd_sign`` is that of a harmonic of odd degree of our edge vectors, in MACE.
        """
        self.check_sizes()
        model = cast(MACE, build_model(self.config).double())
        state = self.outside()
        for t, layer in enumerate(cast(list[Layer], list(model.layers))):
            weights = self.layer(t, layer) | self.product(t, layer.basis) | self.readout(t, layer)
            state |= {f"layers.{t}.{name}": tensor for name, tensor in weights.items()}
            for n, weight in enumerate(self.radial_network(t, layer.table, odd_sign)):
                state[f"radial.functions.networks.{t}.weights.{n}"] = weight
        for n, t in enumerate(t for t, needed in enumerate(self.config.density) if needed):
            name = f"interactions.{t}.density_fn.layer0.weight"
            weight = self.tensors.take(name, self.config.num_bessel, 1)
            state[f"radial.functions.densities.{n}.weights.0"] = weight
        self.tensors.finish(lambda name, _: _CONSTANTS.search(name) is not None)
        model.load_state_dict(state)
        return model

    def check_sizes(self) -> None:
        """Raise if the weights are fewer than the settings say, before any room is made."""
        if len(self.interactions) > MOST_LAYERS:
            raise ValueError(f"{len(self.interactions)} layers, where {MOST_LAYERS} are the most")
        self.tensors.take("interactions.0.linear_up.weight", self.channels**2)
        widths = (self.config.num_bessel, *self.config.radial_widths)
        for t, width in enumerate(self.config.readouts):
            for n, (a, b) in enumerate(itertools.pairwise(widths)):
                self.tensors.take(f"interactions.{t}.conv_tp_weights.layer{n}.weight", a, b)
            if width:
                n_second = width * self.head.count**2
                self.tensors.take(f"readouts.{t}.linear_2.weight", n_second)

    def outside(self) -> dict[str, Tensor]:
        """Everything but the layers and their radial networks."""
        labels, scalars = Irreps(f"{self.n_elements}x0e"), Irreps(f"{self.channels}x0e")
        embedding = linear(self.tensors, "node_embedding.linear", labels, scalars)[0][_EVEN]
        scale = torch.ones((), dtype=torch.float64)
        energies = self.of_head("atomic_energies_fn.atomic_energies", self.n_elements)
        if self.root.kind == "ScaleShiftMACE":
            scale = self.of_head("scale_shift.scale")
            energies = energies + self.of_head("scale_shift.shift")
        name = "radial_embedding"
        keys = TRANSFORM_CONSTANTS.get(self.config.distance_transform, ())
        constants = [self.tensors.take(f"{name}.distance_transform.{key}") for key in keys]
        state = {
            "embedding": embedding,
            "scale": scale,
            "reference_energies": torch.stack([energies.float(), energies - energies.float()]),
            "radial.functions.wave_numbers": self.tensors.take(
                f"{name}.bessel_fn.bessel_weights", self.config.num_bessel
            ),
            "radial.functions.amplitude": self.tensors.take(f"{name}.bessel_fn.prefactor"),
            "radial.functions.constants": torch.tensor(constants, dtype=torch.float64),
        }
        if self.config.repulsion:
            state["repulsion.constants"] = self.repulsion("pair_repulsion_fn")
        return state

    def of_head(self, name: str, *shape: int) -> Tensor:
        """Row of the head, or all there is if there are none."""
        if self.head.count == 1 and self.tensors.named[name].dim() == len(shape):
            return self.tensors.take(name, *shape)
        return self.tensors.take(name, self.head.count, *shape)[self.head.number]

    def repulsion(self, name: str) -> Tensor:
        """Constants of the ZBL term."""
        if int(self.tensors.take(f"{name}.p")) != self.config.envelope_power:
            raise ValueError("a repulsion with an envelope of its own")
        lengths = [self.tensors.take(f"{name}.{key}") for key in ("a_prefactor", "a_exp")]
        return torch.cat([self.tensors.take(f"{name}.c", 4), torch.stack(lengths)])

    def radial_network(self, t: int, table: PathTable, odd_sign: int) -> list[Tensor]:
        """Weights of a radial network, its outputs in the order of our paths.

        e3nn and we multiply activations by slightly different constants; the map that follows
        an activation takes up the ratio.
        """
        name, module = f"interactions.{t}.conv_tp_weights", self.interactions[t]
        widths = (self.config.num_bessel, *self.config.radial_widths, table.n_weights)
        out, ratio = [], 1.0
        for n, (a, b) in enumerate(itertools.pairwise(widths)):
            out.append(self.tensors.take(f"{name}.layer{n}.weight", a, b) * ratio)
            if n < len(self.config.radial_widths):
                ratio = silu_gain(module.child(f"conv_tp_weights.layer{n}.act")) / SILU_GAIN
        signs = [odd_sign**path.l2 for path in table.paths for _ in range(path.x.mul)]
        columns = out[-1][:, _columns(module.child("conv_tp"), table)]
        return [*out[:-1], columns * torch.tensor(signs, dtype=torch.float64)]

    def layer(self, t: int, layer: Layer) -> dict[str, Tensor]:
        """Linear maps of a layer."""
        name, module = f"interactions.{t}", self.interactions[t]
        x, out = layer.irreps_in, layer.irreps_out
        factors = natural_irreps(self.channels, self.config.sh_lmax)
        before = linear(self.tensors, f"{name}.linear_up", x, x)[0]
        mixed = linear(self.tensors, f"{name}.linear", layer.table.irreps_out, factors)[0]
        if not self.config.density[t]:
            ratio = self.config.avg_num_neighbours / float(module.get("avg_num_neighbors"))
            mixed = {ir: w * ratio for ir, w in mixed.items()}
        own: Matrices = {}
        if self.config.residual[t]:
            if self.root.child(f"products.{t}").get("use_sc") is not True:
                raise ValueError("a residual layer that leaves out the residual")
            own = species_linear(self.tensors, f"{name}.skip_tp", x, out, self.n_elements)
        else:  # two linear maps in a row are one
            skip = species_linear(
                self.tensors, f"{name}.skip_tp", factors, factors, self.n_elements
            )
            mixed = {ir: w @ skip[ir] for ir, w in mixed.items()}
        if self.root.child(f"products.{t}.linear").irreps("irreps_out") != out:
            raise ValueError(f"other features after layer {t + 1} than {out}")
        after = linear(self.tensors, f"products.{t}.linear", out, out)[0]
        return (
            _weights("before", before, x)
            | _weights("mix", mixed, factors)
            | _weights("own", own, out)
            | _weights("after", after, out)
        )

    def product(self, t: int, basis: ProductTable) -> dict[str, Tensor]:
        """Weights of the polynomials, in our basis of them."""
        order, dim = self.config.correlation[t], basis.irreps_in.dim
        shape = (self.n_elements, basis.n_paths, self.channels)
        total = torch.zeros(shape, dtype=torch.float64)
        for number, (_, ir) in enumerate(basis.irreps_out):
            name = f"products.{t}.symmetric_contractions.contractions.{number}"
            for degree in range(1, order + 1):
                key = f"{name}.U_matrix_{degree}"
                n_theirs = self.tensors.named[key].shape[-1]
                components = (2 * ir.l + 1,) if ir.l else ()
                stored = self.tensors.take(key, *components, *[dim] * degree, n_theirs)
                coordinates = basis.expand(
                    number, degree, stored.reshape(2 * ir.l + 1, *[dim] * degree, n_theirs)
                )
                place = "weights_max" if degree == order else f"weights.{order - 1 - degree}"
                weights = self.tensors.take(
                    f"{name}.{place}", self.n_elements, n_theirs, self.channels
                )
                total += torch.einsum("pt,etk->epk", coordinates, weights)
        # `Layer.polynomial_weights` takes the root out again
        return {"product": total * basis.n_paths**0.5}

    def readout(self, t: int, layer: Layer) -> dict[str, Tensor]:
        """Weights of a readout, of one head; only scalars reach an energy."""
        name, width = f"readouts.{t}", self.config.readouts[t]
        heads, number = Irreps(f"{self.head.count}x0e"), self.head.number
        if not width:
            every = linear(self.tensors, f"{name}.linear", layer.irreps_out, heads)[0][_EVEN]
            return {"readout.weights.0": every[:, number].unsqueeze(1) * self.channels**0.5}
        hidden = Irreps(f"{width * self.head.count}x0e")
        first = linear(self.tensors, f"{name}.linear_1", layer.irreps_out, hidden)[0][_EVEN]
        second = linear(self.tensors, f"{name}.linear_2", hidden, heads)[0][_EVEN]
        part = slice(number * width, (number + 1) * width)
        activation = self.root.child(f"{name}.non_linearity.acts.0")
        ratio = silu_gain(activation) / SILU_GAIN * width**0.5
        return {
            "readout.weights.0": first[:, part] * self.channels**0.5,
            "readout.weights.1": second[part, number].unsqueeze(1) * ratio,
        }


def _weights(name: str, matrices: Matrices, targets: Irreps) -> dict[str, Tensor]:
    """Matrices as our linear maps hold them: by output irrep, times the root of their inputs."""
    present = [matrices[ir] for _, ir in targets if ir in matrices]
    return {f"{name}.weights.{n}": w * w.shape[-2] ** 0.5 for n, w in enumerate(present)}


def _columns(product: PickledModule, table: PathTable) -> Tensor:
    """Where the radial weights of our paths stand among those of a tensor product."""
    outputs = list(product.irreps("irreps_out"))
    starts: dict[tuple[int, int, int], int] = {}
    order, start = [], 0
    for instruction in product.get("instructions"):
        first, second, out, mode, weighted, factor, _ = instruction.args
        mul, ir = outputs[out]
        if (mode, weighted) != ("uvu", True) or abs(factor**2 - (2 * ir.l + 1)) > 1e-6:
            raise ValueError("a convolution of another kind")
        starts[first, second, ir.l] = start
        order.append((ir.l, out))
        start += mul
    if order != sorted(order) or len(starts) != len(table.paths):
        raise ValueError("other paths of the convolution than its irreps have")
    number = {block: n for n, block in enumerate(blocks(table.irreps_x))}
    parts = [
        torch.arange(path.x.mul) + starts[number[path.x], path.l2, path.l3] for path in table.paths
    ]
    return torch.cat(parts)
