"""Errors of a model on labelled frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from ase_symcalc.models.base import AbstractEnergyModel
from ase_symcalc.response import predict
from ase_symcalc.training.dataset import Frame, collate, pack, stress_errors
from ase_symcalc.units import EV_PER_CUBIC_ANGSTROM_IN_GPA


@dataclass(frozen=True, slots=True)
class FrameErrors:
    """Errors frame by frame; forces and stresses as sums over their components."""

    n_atoms: Int64[np.ndarray, "n"]
    energy: Float64[np.ndarray, "n"]
    """eV/atom, predicted less labelled"""
    force_absolute: Float64[np.ndarray, "n"]
    """eV/Å"""
    force_square: Float64[np.ndarray, "n"]
    stress_absolute: Float64[np.ndarray, "n"]
    """eV/Å³, NaN without a label"""
    stress_square: Float64[np.ndarray, "n"]


@dataclass(frozen=True, slots=True)
class Errors:
    """Mean absolute and root mean square errors over some frames, in a reader's units."""

    n_frames: int
    energy_mae: float
    """meV/atom"""
    energy_rmse: float
    force_mae: float
    """meV/Å, over components"""
    force_rmse: float
    stress_mae: float
    """GPa, over the nine components; NaN if no frame has a label"""
    stress_rmse: float


def frame_errors(
    model: AbstractEnergyModel,
    frames: Sequence[Frame],
    *,
    max_edges: int,
    device: torch.device | str = "cpu",
) -> FrameErrors:
    """Errors of each frame, in order. Energies of model and frames share their zero."""
    columns: list[np.ndarray] = []
    for members in pack([f.graph.n_edges for f in frames], max_edges):
        batch = collate([frames[i] for i in members], device)
        predicted = predict(model, batch.graph)
        if predicted.forces is None or predicted.stress is None:
            raise ValueError("errors need a prediction with derivatives")
        index, force = batch.graph.structure_index, predicted.forces - batch.forces
        zero = torch.zeros_like(batch.n_atoms)
        stress = torch.where(
            batch.has_stress[:, None, None] > 0, stress_errors(predicted.stress, batch), torch.nan
        )
        columns.append(
            _table(
                batch.n_atoms,
                (predicted.energy - batch.energy) / batch.n_atoms,
                zero.index_add(0, index, force.abs().sum(dim=1)),
                zero.index_add(0, index, force.square().sum(dim=1)),
                stress.abs().sum(dim=(1, 2)),
                stress.square().sum(dim=(1, 2)),
            )
        )
    n_atoms, *errors = np.concatenate(columns, axis=1)
    return FrameErrors(n_atoms.astype(np.int64), *errors)


def summarise(errors: FrameErrors, members: Sequence[int] | None = None) -> Errors:
    """Mean errors over all frames, or over some of them."""
    chosen = np.arange(len(errors.energy)) if members is None else np.array(members)
    energy = 1e3 * errors.energy[chosen]
    components = 3 * errors.n_atoms[chosen].sum()
    stressed = chosen[np.isfinite(errors.stress_absolute[chosen])]
    gpa, count = EV_PER_CUBIC_ANGSTROM_IN_GPA, 9 * len(stressed) or float("nan")
    return Errors(
        n_frames=len(chosen),
        energy_mae=float(np.abs(energy).mean()),
        energy_rmse=float(np.sqrt(np.square(energy).mean())),
        force_mae=float(1e3 * errors.force_absolute[chosen].sum() / components),
        force_rmse=float(1e3 * np.sqrt(errors.force_square[chosen].sum() / components)),
        stress_mae=float(gpa * errors.stress_absolute[stressed].sum() / count),
        stress_rmse=float(gpa * np.sqrt(errors.stress_square[stressed].sum() / count)),
    )


def summarise_by(errors: FrameErrors, labels: Sequence[str]) -> dict[str, Errors]:
    """Mean errors of the frames of each label, and of all under "all"."""
    named = {
        label: summarise(errors, [i for i, own in enumerate(labels) if own == label])
        for label in sorted(set(labels))
    }
    return {**named, "all": summarise(errors)}


def _table(*columns: Float[Tensor, "n"]) -> Float64[np.ndarray, "_ n"]:
    return torch.stack([column.detach().double() for column in columns]).cpu().numpy()
