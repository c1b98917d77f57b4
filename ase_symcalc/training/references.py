"""Numbers of the model that are fitted or counted before training."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from ase.data import atomic_numbers
from jaxtyping import Float64

from ase_symcalc.models import AbstractEnergyModel
from ase_symcalc.response import predict
from ase_symcalc.training.dataset import Frame, collate, pack

logger = logging.getLogger(__name__)

References = Float64[np.ndarray, "n_elements"]


@dataclass(frozen=True, slots=True)
class Baseline:
    """What the network of one level of theory starts from."""

    reference_energies: References
    """eV"""
    scale: float
    """eV; the root mean square of a force component, times one Å"""


def fit_baseline(frames: Sequence[Frame], elements: Sequence[str]) -> Baseline:
    """Fit reference energies by least squares on energies per atom; measure the forces.

    Compositions that do not tell all elements apart (a compound alone) give the solution
    of least norm, and a logged warning: only sums of such references mean something.
    """
    references, rank = _fit(frames, elements)
    if rank < len(elements):
        logger.warning(
            "the compositions of the frames fix only %d of the %d reference energies (%s); "
            "the least-norm solution is taken",
            rank,
            len(elements),
            ", ".join(elements),
        )
    forces = [frame.forces.numpy().ravel() for frame in frames if frame.forces is not None]
    squares = np.square(np.concatenate([np.zeros(0), *forces]))
    rms = float(np.sqrt(squares.mean())) if squares.any() else 1.0
    return Baseline(references, rms)


def refit_references(
    frames: Sequence[Frame],
    model: AbstractEnergyModel,
    references: References,
    *,
    max_edges: int,
) -> References:
    """Move reference energies by as little as makes a trained model right on average.

    Parameters
    ----------
    frames : sequence of Frame
        With their whole energies.
    model : AbstractEnergyModel
        In float32 on the CPU, with reference energies of zero.
    references : (n_elements,) array, eV
        Those it was trained with.
    max_edges : int
        Of frames evaluated together.

    Returns
    -------
    (n_elements,) array, eV
        References plus the shift of least norm that fits what is left of the energies per
        atom; directions of composition that the frames do not have stay as they were.
    """
    known = [f for f in frames if f.energy is not None]
    rest = subtract_references(known, model.elements, references)
    left: list[Frame] = []
    for members in pack([f.graph.n_edges for f in rest], max_edges):
        chosen = [rest[i] for i in members]
        predicted = predict(model, collate(chosen).graph, derivatives=False).energy.tolist()
        left += [
            replace(frame, energy=(frame.energy or 0.0) - energy)
            for frame, energy in zip(chosen, predicted, strict=True)
        ]
    return references + _fit(left, model.elements)[0]


def mean_neighbours(frames: Sequence[Frame]) -> float:
    """Edges per atom."""
    return sum(f.graph.n_edges for f in frames) / sum(f.graph.n_atoms for f in frames)


def subtract_references(
    frames: Sequence[Frame], elements: Sequence[str], references: References
) -> list[Frame]:
    """Frames with what is left of the energies, taken in float64 before they are rounded."""
    return [
        frame
        if frame.energy is None
        else replace(frame, energy=frame.energy - float(_composition(frame, elements) @ references))
        for frame in frames
    ]


def _fit(frames: Sequence[Frame], elements: Sequence[str]) -> tuple[References, int]:
    """Least squares on energies per atom: the solution of least norm, and the rank."""
    known = [(_composition(f, elements), f.energy) for f in frames if f.energy is not None]
    if not known:
        return np.zeros(len(elements)), 0
    compositions = np.array([composition for composition, _ in known])
    n_atoms = compositions.sum(axis=1)
    energies = np.array([energy for _, energy in known]) / n_atoms
    references, _, rank, _ = np.linalg.lstsq(compositions / n_atoms[:, None], energies, rcond=None)
    return references, int(rank)


def _composition(frame: Frame, elements: Sequence[str]) -> Float64[np.ndarray, "n_elements"]:
    counts = np.bincount(frame.graph.atomic_numbers.numpy(), minlength=120)
    return counts[[atomic_numbers[symbol] for symbol in elements]].astype(float)
