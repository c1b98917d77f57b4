"""Settings of a MACE network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from e3nn.o3 import Irreps

from ase_symcalc.errors import InputError
from ase_symcalc.models.config import NetworkConfig

TRANSFORMS = ("none", "agnesi", "soft")
LARGEST_L = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class MACEConfig(NetworkConfig):
    """Size and constants of a `MACE`; a tuple has one entry for each layer.

    Attributes
    ----------
    hidden_irreps : str
        Features between layers, such as ``"128x0e+128x1o"``: as many channels of each, even
        scalars first, parities those of spherical harmonics. The last layer has the scalars.
    sh_lmax : int
        Highest degree of the spherical harmonics and of the product basis' factors.
    correlation : tuple of int
        Highest degree of the polynomials, one to three.
    residual : tuple of bool
        Whether the centre's own features are added after the polynomials, through a map of
        its element; else its element's map follows the convolution.
    density : tuple of bool
        Whether messages are divided by one plus a learned density, else by
        ``avg_num_neighbours``.
    readouts : tuple of int
        Width of the hidden layer of each readout, 0 for none: a linear one.
    num_bessel : int
    envelope_power : int
        p of the polynomial envelope, also of the repulsion's.
    radial_widths : tuple of int
        Hidden layers of the radial networks.
    distance_transform : {"none", "agnesi", "soft"}
    repulsion : bool
        Whether there is a ZBL term.
    covalent_radii : tuple of float, Å
        One per element, for the transform and the repulsion; empty without both.
    avg_num_neighbours : float
    num_intervals : int
        Of the splines that carry radial functions in float32; 0 for none.
    num_fine_intervals : int
        Of those that carry them in float64, in compiled kernels only; 0 for none.
    """

    family: ClassVar[str] = "mace"

    hidden_irreps: str
    sh_lmax: int = 3
    correlation: tuple[int, ...] = (3, 3)
    residual: tuple[bool, ...] = (False, True)
    density: tuple[bool, ...] = (False, False)
    readouts: tuple[int, ...] = (0, 16)
    num_bessel: int = 8
    envelope_power: int = 5
    radial_widths: tuple[int, ...] = (64, 64, 64)
    distance_transform: str = "none"
    repulsion: bool = False
    covalent_radii: tuple[float, ...] = ()
    avg_num_neighbours: float = 30.0
    num_intervals: int = 256
    num_fine_intervals: int = 512

    def __post_init__(self) -> None:
        NetworkConfig.__post_init__(self)
        lengths = {len(getattr(self, name)) for name in PER_LAYER}
        if len(lengths) > 1 or 0 in lengths:
            raise InputError(
                f"expected one entry for each layer in {', '.join(PER_LAYER)}; "
                f"got {', '.join(str(len(getattr(self, name))) for name in PER_LAYER)}"
            )
        if not set(self.correlation) <= {1, 2, 3}:
            raise InputError(f"expected correlation orders from 1 to 3; got {self.correlation}")
        if not 0 <= self.sh_lmax <= LARGEST_L:
            raise InputError(f"expected sh_lmax from 0 to {LARGEST_L}; got {self.sh_lmax}")
        positive = (self.num_bessel, self.envelope_power, *self.radial_widths)
        intervals = (self.num_intervals, self.num_fine_intervals)
        if min(positive) < 1 or min(*intervals, *self.readouts) < 0:
            raise InputError(
                "expected num_bessel, envelope_power and radial_widths of at least 1, readouts, "
                f"num_intervals and num_fine_intervals of at least 0; got {positive}, "
                f"{self.readouts}, {intervals[0]} and {intervals[1]}"
            )
        if not self.avg_num_neighbours > 0:
            raise InputError(f"avg_num_neighbours must be positive; got {self.avg_num_neighbours}")
        if self.distance_transform not in TRANSFORMS:
            raise InputError(
                f"expected distance_transform among {', '.join(TRANSFORMS)}; "
                f"got {self.distance_transform!r}"
            )
        n_radii = len(self.elements) if self.repulsion or self.distance_transform != "none" else 0
        if len(self.covalent_radii) != n_radii:
            raise InputError(
                f"expected {n_radii} covalent radii for {len(self.elements)} elements; "
                f"got {len(self.covalent_radii)}"
            )
        self._check_irreps()

    def with_neighbours(self, mean: float) -> MACEConfig:
        """Divide by the root of the mean: sums of one sign or the other grow like it."""
        return replace(self, avg_num_neighbours=mean**0.5)

    def _check_irreps(self) -> None:
        try:
            irreps = Irreps(self.hidden_irreps)
        except ValueError as error:
            raise InputError(
                f"expected irreps such as 128x0e+128x1o; got {self.hidden_irreps!r}"
            ) from error
        natural = all(ir.p == (-1) ** ir.l and ir.l <= LARGEST_L for _, ir in irreps)
        rising = [ir.l for _, ir in irreps] == sorted({ir.l for _, ir in irreps})
        even_first = len(irreps) > 0 and irreps[0].ir.l == 0
        if not (natural and rising and even_first) or len({mul for mul, _ in irreps}) > 1:
            raise InputError(
                "expected as many channels of each irrep, 0e first, then any of 1o, 2e, …; "
                f"got {self.hidden_irreps!r}"
            )

    @property
    def num_channels(self) -> int:
        """Channels of every irrep."""
        return Irreps(self.hidden_irreps)[0].mul


PER_LAYER = ("correlation", "residual", "density", "readouts")
