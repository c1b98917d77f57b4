"""Numbers of the model that are fitted or counted before training."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from ase.data import atomic_numbers
from jaxtyping import Float64

from ase_symcalc.training.dataset import Frame

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Baseline:
    """What the network starts from."""

    reference_energies: Float64[np.ndarray, "n_elements"]
    """eV"""
    scale: float
    """eV; the root mean square of a force component, times one Å"""
    avg_num_neighbours: float


def fit_baseline(frames: Sequence[Frame], elements: Sequence[str]) -> Baseline:
    """Fit reference energies by least squares on energies per atom; count the rest.

    Compositions that do not tell all elements apart (a compound alone) give the solution
    of least norm, and a logged warning: only sums of such references mean something.
    """
    compositions = np.array([_composition(frame, elements) for frame in frames])
    energies = np.array([frame.energy for frame in frames])
    n_atoms = compositions.sum(axis=1)
    references, _, rank, _ = np.linalg.lstsq(
        compositions / n_atoms[:, None], energies / n_atoms, rcond=None
    )
    if rank < len(elements):
        logger.warning(
            "the compositions of the frames fix only %d of the %d reference energies (%s); "
            "the least-norm solution is taken",
            rank,
            len(elements),
            ", ".join(elements),
        )
    forces = np.concatenate([frame.forces.numpy() for frame in frames]).astype(float)
    rms = float(np.sqrt(np.mean(forces**2)))
    return Baseline(
        reference_energies=references,
        scale=rms if rms > 0 else 1.0,
        avg_num_neighbours=sum(f.graph.n_edges for f in frames) / float(n_atoms.sum()),
    )


def subtract_references(
    frames: Sequence[Frame],
    elements: Sequence[str],
    references: Float64[np.ndarray, "n_elements"],
) -> list[Frame]:
    """Frames with what is left of the energies, taken in float64 before they are rounded."""
    return [
        replace(frame, energy=frame.energy - float(_composition(frame, elements) @ references))
        for frame in frames
    ]


def _composition(frame: Frame, elements: Sequence[str]) -> Float64[np.ndarray, "n_elements"]:
    counts = np.bincount(frame.graph.atomic_numbers.numpy(), minlength=120)
    return counts[[atomic_numbers[symbol] for symbol in elements]].astype(float)
