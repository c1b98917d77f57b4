"""MACE models: a pickled module, of which only tensors and settings are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from e3nn.o3 import Irreps

from ase_symcalc.errors import PotentialFileError
from ase_symcalc.models import AbstractEnergyModel
from ase_symcalc.models.elements import SYMBOLS
from ase_symcalc.models.mace_config import LARGEST_L, MACEConfig
from ase_symcalc.potential_files.convert.dialect import EdgeDialect
from ase_symcalc.potential_files.convert.e3nn_weights import Tensors, word
from ase_symcalc.potential_files.convert.mace_weights import TRANSFORM_CONSTANTS, Head, MACEWeights
from ase_symcalc.potential_files.convert.origin import Origin
from ase_symcalc.potential_files.convert.pickled_module import PickledModule, silu_gain
from ase_symcalc.potential_files.convert.unpickle import Record

FORMAT = "MACE models (.model)"
DIALECT = EdgeDialect(centre_row=1, vector="neighbour_to_centre")

_INTERACTIONS = {  # residual, density
    "RealAgnosticInteractionBlock": (False, False),
    "RealAgnosticResidualInteractionBlock": (True, False),
    "RealAgnosticDensityInteractionBlock": (False, True),
    "RealAgnosticDensityResidualInteractionBlock": (True, True),
}
_TRANSFORMS = {"AgnesiTransform": "agnesi", "SoftTransform": "soft"}


def locate(name: str) -> Path | None:
    """Find nothing: no MACE model comes with a package."""
    return None


def recognises(content: Any) -> bool:
    """Whether a checkpoint is a pickled module of mace-torch."""
    return isinstance(content, Record) and content.name.startswith("mace.")


def convert(
    content: Record, where: str, selection: str | None
) -> tuple[AbstractEnergyModel, Origin]:
    """Build our network with the weights of a MACE model.

    Parameters
    ----------
    content : Record
        The module, as `read_checkpoint` gives it.
    where : str
        The file, for messages.
    selection : str or None
        Name of a head; None if it has only one, or one called "default".

    Raises
    ------
    PotentialFileError
        If the network is of a kind that is not known here, or there is no such head.
    """
    try:
        root = PickledModule(content)
        settings = _Settings(root, Tensors(where, dict(root.tensors())))
        head, names = settings.head(selection)
        weights = MACEWeights(root, settings.tensors, settings.config(head), head)
        model = weights.network(DIALECT.odd_sign)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, PotentialFileError):
            raise
        raise PotentialFileError(
            f"{where}: expected a MACE model as mace-torch pickles it, got: {str(error)[:200]}"
        ) from error
    chosen = f", head {names[head.number]!r} of {', '.join(names)}" if head.count > 1 else ""
    origin = Origin(
        package=f"mace-torch ({weights.dtype}{chosen})",
        licence="mace-torch is under the MIT licence; for the weights ask whoever trained them",
        implementation="github.com/ACEsuit/mace",
        architecture="Batatia et al., NeurIPS 2022 (arXiv:2206.07697)",
    )
    return model, origin


class _Settings:
    """Reads the settings of a model, and refuses what is not known here."""

    def __init__(self, root: PickledModule, tensors: Tensors) -> None:
        self.root, self.tensors = root, tensors
        self._expect(root, "a model", ("ScaleShiftMACE", "MACE"))

    def head(self, selection: str | None) -> tuple[Head, list[str]]:
        """Find the head that was asked for, and the names of all."""
        names = [word(name) for name in self.root.get("heads", ["Default"])]
        if selection is None and len(names) == 1:
            return Head(0, 1), names
        wanted = (selection or "default").lower()
        found = [number for number, name in enumerate(names) if name.lower() == wanted]
        if not found:
            raise PotentialFileError(
                f"{self.tensors.where}: expected the name of one of its heads "
                f"({', '.join(names)}), got {'none' if selection is None else repr(selection)}. "
                f"Choose one after an @: {Path(self.tensors.where).name}@{names[0]}"
            )
        return Head(found[0], len(names)), names

    def config(self, head: Head) -> MACEConfig:
        """Translate the settings."""
        interactions = self.root.children("interactions")
        products, readouts = self.root.children("products"), self.root.children("readouts")
        if len({len(interactions), len(products), len(readouts)}) != 1:
            raise ValueError("another number of products or readouts than of layers")
        blocks = [self._block(module) for module in interactions]
        harmonics = self.root.child("spherical_harmonics").irreps("irreps_out")
        lmax = max((ir.l for _, ir in harmonics), default=0)  # e3nn's own lists every copy
        if lmax > LARGEST_L or harmonics != Irreps.spherical_harmonics(lmax):
            raise ValueError(f"the spherical harmonics {harmonics}")
        orders = [p.children("symmetric_contractions.contractions")[0] for p in products]
        transform, repulsion = self._radial()
        return MACEConfig(
            elements=self._elements(),
            cutoff=float(self.tensors.take("r_max")),
            hidden_irreps=str(products[0].child("linear").irreps("irreps_out")),
            sh_lmax=lmax,
            correlation=tuple(int(order.get("correlation")) for order in orders),
            residual=tuple(residual for residual, _ in blocks),
            density=tuple(density for _, density in blocks),
            readouts=tuple(self._readout_width(module, head) for module in readouts),
            num_bessel=len(self.tensors.named["radial_embedding.bessel_fn.bessel_weights"]),
            envelope_power=int(self.tensors.take("radial_embedding.cutoff_fn.p")),
            radial_widths=tuple(interactions[0].child("conv_tp_weights").get("hs")[1:-1]),
            distance_transform=transform,
            repulsion=repulsion,
            covalent_radii=self._radii(transform, repulsion),
            avg_num_neighbours=float(interactions[0].get("avg_num_neighbors")),
        )

    def _expect(self, module: PickledModule, what: str, known: tuple[str, ...]) -> None:
        if module.kind not in known:
            raise PotentialFileError(
                f"{self.tensors.where}: expected {what} of type {' or '.join(known)}, got "
                f"{module.kind[:80]}, which cannot be converted"
            )

    def _elements(self) -> tuple[str, ...]:
        stored = self.tensors.named["atomic_numbers"]
        numbers = [int(z) for z in self.tensors.take("atomic_numbers", len(stored)).tolist()]
        if not all(0 < z < len(SYMBOLS) for z in numbers) or numbers != sorted(numbers):
            raise ValueError(f"the atomic numbers {numbers!r:.100}")
        return tuple(SYMBOLS[z] for z in numbers)

    def _radial(self) -> tuple[str, bool]:
        """Which distance transform there is, and whether there is a repulsion."""
        radial = self.root.child("radial_embedding")
        self._expect(radial.child("bessel_fn"), "a radial basis", ("BesselBasis",))
        self._expect(radial.child("cutoff_fn"), "an envelope", ("PolynomialCutoff",))
        if radial.get("apply_cutoff", True) is not True:
            raise ValueError("an envelope that multiplies weights, not the radial basis")
        transform = "none"
        if radial.has("distance_transform"):
            module = radial.child("distance_transform")
            self._expect(module, "a distance transform", tuple(_TRANSFORMS))
            transform = _TRANSFORMS[module.kind]
        if repulsion := self.root.has("pair_repulsion_fn"):
            self._expect(self.root.child("pair_repulsion_fn"), "a repulsion", ("ZBLBasis",))
        return transform, repulsion

    def _radii(self, transform: str, repulsion: bool) -> tuple[float, ...]:
        """Covalent radii of the elements, if anything needs them."""
        names = ["radial_embedding.distance_transform"] * (transform in TRANSFORM_CONSTANTS)
        names += ["pair_repulsion_fn"] * repulsion
        tables = [
            self.tensors.take(f"{name}.covalent_radii", len(SYMBOLS)).tolist() for name in names
        ]
        if any(table != tables[0] for table in tables):
            raise ValueError("two tables of covalent radii")
        numbers = self.tensors.named["atomic_numbers"].tolist()
        return tuple(tables[0][z] for z in numbers) if tables else ()

    def _block(self, module: PickledModule) -> tuple[bool, bool]:
        """Whether an interaction is residual, and whether it has a density."""
        self._expect(module, "an interaction", tuple(_INTERACTIONS))
        self._expect(module.child("conv_tp_weights"), "radial weights", ("FullyConnectedNet",))
        for name in ("linear", "linear_up"):
            self._expect(module.child(name), "a linear map", ("Linear",))
        residual, density = _INTERACTIONS[module.kind]
        features = module.irreps("node_feats_irreps")
        if module.get("edge_irreps") is not None and module.irreps("edge_irreps") != features:
            raise ValueError("other channels on edges than on atoms")
        return residual, density

    def _readout_width(self, module: PickledModule, head: Head) -> int:
        self._expect(module, "a readout", ("LinearReadoutBlock", "NonLinearReadoutBlock"))
        if module.kind == "LinearReadoutBlock":
            return 0
        silu_gain(module.child("non_linearity.acts.0"))
        return module.irreps("hidden_irreps").dim // head.count
