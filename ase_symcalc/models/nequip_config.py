"""Settings of networks of NequIP type that were made elsewhere."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar, Literal

from e3nn.o3 import Irrep, Irreps

from ase_symcalc.errors import InputError
from ase_symcalc.models.config import NetworkConfig
from ase_symcalc.nn.activation import ACTIVATIONS

CONNECTIONS = ("species", "shared", "none")
LARGEST_L = 8
MOST_CHANNELS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class NequIPConfig(NetworkConfig):
    """Size and constants of a `NequIP`.

    Attributes
    ----------
    irreps : tuple of str
        Features before the first layer, and after each.
    sh_lmax : int
        Highest degree of the spherical harmonics.
    parity : bool
        Whether odd harmonics change sign in a mirror; without it all irreps are even.
    solid_harmonics : bool
        Whether harmonics of degree l grow as r^l.
    num_bessel : int
    envelope : {"polynomial", "xplor"}
    envelope_parameter : float
        Power of the polynomial, or onset in Å.
    radial_widths : tuple of int
        Hidden layers of the radial networks.
    radial_activation, even_activation, odd_activation, gate_activation : str
        Names in `nn.activation.ACTIVATIONS`.
    connections : tuple of str
        How each layer maps the centre's own features: one map for each "species", one
        "shared" by all, or "none".
    biases : bool
        Whether linear maps add a constant to even scalars.
    readout_widths : tuple of int
        Hidden layers between the last even scalars and the energy.
    readout_activation : str
    num_intervals : int
        Of the splines that carry radial functions in float32; 0 for none.
    num_fine_intervals : int
        Of those that carry them in float64, in compiled kernels only; 0 for none.
    """

    family: ClassVar[str] = "nequip"

    irreps: tuple[str, ...]
    sh_lmax: int
    parity: bool
    solid_harmonics: bool = False
    num_bessel: int = 8
    envelope: Literal["polynomial", "xplor"] = "polynomial"
    envelope_parameter: float = 6.0
    radial_widths: tuple[int, ...] = (64, 64)
    radial_activation: str = "silu"
    even_activation: str = "silu"
    odd_activation: str = "tanh"
    gate_activation: str = "silu"
    connections: tuple[str, ...]
    biases: bool = False
    readout_widths: tuple[int, ...] = ()
    readout_activation: str = "silu"
    num_intervals: int = 256
    num_fine_intervals: int = 512

    def __post_init__(self) -> None:
        NetworkConfig.__post_init__(self)
        for name in ("radial", "even", "odd", "gate", "readout"):
            _check(getattr(self, f"{name}_activation"), ACTIVATIONS, f"{name}_activation")
        for connection in self.connections:
            _check(connection, CONNECTIONS, "connections")
        _check(self.envelope, ("polynomial", "xplor"), "envelope")
        if len(self.irreps) != len(self.connections) + 1 or not self.connections:
            raise InputError(
                f"expected irreps before and after each of {len(self.connections)} layers; "
                f"got {len(self.irreps)}"
            )
        for text in self.irreps:
            self._check_irreps(text)
        if [ir for _, ir in Irreps(self.irreps[0])] != [Irrep("0e")]:
            raise InputError(f"expected even scalars before the first layer; got {self.irreps[0]}")
        if not 0 <= self.sh_lmax <= LARGEST_L:
            raise InputError(f"expected sh_lmax from 0 to {LARGEST_L}; got {self.sh_lmax}")
        if self.envelope == "xplor" and not 0 < self.envelope_parameter < self.cutoff:
            raise InputError(
                f"expected an onset below the cutoff of {self.cutoff} Å; "
                f"got {self.envelope_parameter} Å"
            )
        intervals = (self.num_intervals, self.num_fine_intervals)
        if not (0 < self.num_bessel <= 1000 and 0 <= min(intervals) <= max(intervals) <= 100_000):
            raise InputError(
                "expected num_bessel from 1 to 1000, num_intervals and num_fine_intervals from 0 "
                f"to 100000; got {self.num_bessel}, {intervals[0]} and {intervals[1]}"
            )

    @property
    def keeps_mirror_images(self) -> bool:
        """Whether mirror images have the same energy by construction."""
        odd_scalars = any(Irreps(text).count("0o") for text in self.irreps)
        return self.parity and (self.odd_activation == "tanh" or not odd_scalars)

    def _check_irreps(self, text: str) -> None:
        try:
            irreps = Irreps(text)
        except ValueError as error:
            raise InputError(f"expected irreps such as 32x0e+16x1o; got {text!r}") from error
        degrees = [ir.l for _, ir in irreps]  # their .lmax writes down every copy of an irrep
        scalars = [l == 0 for l in degrees]
        if not 0 < irreps.num_irreps <= MOST_CHANNELS:
            raise InputError(f"expected 1 to {MOST_CHANNELS} irreps; got {text!r}")
        if len({ir for _, ir in irreps}) < len(irreps):
            raise InputError(f"expected each irrep once; got {text!r}")
        if irreps.count("0e") == 0 or scalars != sorted(scalars, reverse=True):
            raise InputError(f"expected scalars first, even ones among them; got {text!r}")
        if max(degrees) > LARGEST_L:
            raise InputError(f"expected irreps up to l = {LARGEST_L}; got {text!r}")
        if not self.parity and any(ir.p == -1 for _, ir in irreps):
            raise InputError(f"expected even irreps in a network without parity; got {text!r}")


def _check(value: str, known: Collection[str], name: str) -> None:
    if value not in known:
        raise InputError(f"expected {name} among {', '.join(known)}; got {value!r}")
