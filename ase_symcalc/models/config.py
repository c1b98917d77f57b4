"""Everything needed to build a network, as plain data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, ClassVar, TypeVar

from ase_symcalc.errors import InputError

Config = TypeVar("Config", bound="NetworkConfig")


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """What the settings of all families of networks have in common.

    Attributes
    ----------
    elements : tuple of str
        Chemical symbols, sorted by atomic number.
    cutoff : float, Å
    """

    family: ClassVar[str]

    elements: tuple[str, ...]
    cutoff: float

    def __post_init__(self) -> None:
        if self.cutoff <= 0:
            raise InputError(f"cutoff must be positive; got {self.cutoff} Å")
        if not self.elements or len(set(self.elements)) != len(self.elements):
            raise InputError(f"elements must be named once each; got {self.elements}")

    @property
    def heads(self) -> tuple[str, ...]:
        """Levels of theory that share a body; empty if there is one of each."""
        return ()

    def to_dict(self) -> dict[str, Any]:
        """Plain types only, ready for JSON."""
        plain = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        if plain.get("heads") == []:  # files without heads are older than heads
            del plain["heads"]
        return {"family": self.family, **plain}

    def with_neighbours(self: Config, mean: float) -> Config:
        """Return these settings for atoms of so many neighbours; for networks not yet trained."""
        return replace(self, avg_num_neighbours=mean)  # type: ignore[call-arg]

    @classmethod
    def from_dict(cls: type[Config], data: Mapping[str, Any]) -> Config:
        """Inverse of `to_dict`.

        Raises
        ------
        InputError
            If a key is unknown or one without a default is missing.
        """
        known = {f.name for f in fields(cls)}
        if unknown := set(data) - known - {"family"}:
            raise InputError(
                f"model configuration has unknown keys {sorted(unknown)}; known are {sorted(known)}"
            )
        try:
            values: dict[str, Any] = {}
            for key in data.keys() - {"family"}:
                value = data[key]
                values[key] = tuple(value) if isinstance(value, list) else value
            return cls(**values)
        except TypeError as error:
            raise InputError(f"model configuration is incomplete: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig(NetworkConfig):
    """Size and constants of a `SymNet`.

    Attributes
    ----------
    elements : tuple of str
        Chemical symbols, sorted by atomic number.
    cutoff : float, Å
    num_layers : int
    num_channels : int
        Channels of every degree.
    lmax : int
        Highest degree of the features.
    sh_lmax : int
        Highest degree of the spherical harmonics.
    num_bessel, radial_width, radial_depth : int
        Radial basis, and its hidden layers.
    num_intervals : int
        Of the splines that carry the radial functions.
    avg_num_neighbours : float
        Messages are divided by its square root.
    repulsion_radii : tuple of float, Å
        One per element; the ZBL term of a pair ends at the sum of two. Empty: no such term.
    heads : tuple of str
        Levels of theory that share all but references, scale and readout: see `models.heads`.
        Empty in a `SymNet`, which has one of each.
    """

    family: ClassVar[str] = "symnet"

    num_layers: int = 3
    num_channels: int = 32
    lmax: int = 2
    sh_lmax: int = 2
    num_bessel: int = 8
    radial_width: int = 64
    radial_depth: int = 2
    num_intervals: int = 128
    avg_num_neighbours: float = 30.0
    repulsion_radii: tuple[float, ...] = ()
    heads: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        NetworkConfig.__post_init__(self)  # super() knows no class with slots
        for name in ("num_layers", "num_channels", "num_bessel", "radial_width", "num_intervals"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1; got {getattr(self, name)}")
        for name in ("lmax", "sh_lmax", "radial_depth"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} must be at least 0; got {getattr(self, name)}")
        if self.avg_num_neighbours <= 0:
            raise InputError(f"avg_num_neighbours must be positive; got {self.avg_num_neighbours}")
        if self.repulsion_radii and len(self.repulsion_radii) != len(self.elements):
            raise InputError(
                f"expected a repulsion radius for each of {len(self.elements)} elements; "
                f"got {len(self.repulsion_radii)}"
            )
        if not all(0 < radius <= self.cutoff / 2 for radius in self.repulsion_radii):
            raise InputError(
                "repulsion_radii must be positive and at most half the cutoff, or the repulsion "
                f"would end in a step; got {self.repulsion_radii} Å"
            )
        if len(set(self.heads)) != len(self.heads):
            raise InputError(f"heads must be named once each; got {self.heads}")
        for head in self.heads:
            if not re.fullmatch("[A-Za-z0-9]+([._-][A-Za-z0-9]+)*", head):
                raise InputError(
                    "a head is named by letters and digits, with single . _ or - between "
                    f"them; got {head!r}"
                )
