"""What is known of a foreign checkpoint, for its card."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ase_symcalc.models import AbstractEnergyModel
from ase_symcalc.potential_files.card import PotentialCard, References

UNSTATED = "not stated in the file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a checkpoint comes from; fields go into the card as they are."""

    package: str
    """that wrote it, with its version"""
    licence: str
    level_of_theory: str = UNSTATED
    training_data: str = UNSTATED
    authors: tuple[str, ...] = ()
    implementation: str
    """what to cite for the package"""
    architecture: str
    """what to cite for the kind of network"""
    model: str = UNSTATED
    """what to cite for this training"""


def card_of(
    model: AbstractEnergyModel, origin: Origin, path: Path, digest: str, name: str, splines: str
) -> PotentialCard:
    """Card of a potential that was read from a foreign file.

    Parameters
    ----------
    digest : str
        SHA-256 of the file.
    name : str
        What the potential is to be called; brought into the form that a card wants.
    splines : str
        A sentence on the error of splined radial functions, or nothing.
    """
    plain = re.sub("[^a-z0-9]+", "-", re.sub("[^a-z0-9.]", "-", name.lower())).strip("-")
    return PotentialCard(
        name=plain or "converted",
        version="1",
        description=f"Converted from {path.name}, written by {origin.package}. {splines}".strip(),
        elements=model.elements,
        pairs=(),
        cutoff=model.cutoff,
        interaction_range=model.interaction_range,
        dtype="float64",
        level_of_theory=origin.level_of_theory,
        training_data=origin.training_data,
        accuracy=(),
        limits=UNSTATED,
        not_for="what the authors of the checkpoint say it is not for; nothing was tested here",
        licence=origin.licence,
        authors=origin.authors,
        reproduce=f"symcalc convert {path.name} {plain} (sha256 of the source: {digest})",
        references=References(origin.implementation, origin.architecture, origin.model),
    )
