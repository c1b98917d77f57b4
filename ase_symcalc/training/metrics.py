"""Errors of a model on labelled frames."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64, Shaped
from torch import Tensor

from ase_symcalc.models.base import AbstractEnergyModel
from ase_symcalc.response import predict
from ase_symcalc.training.dataset import Frame, collate, pack, stress_errors
from ase_symcalc.units import EV_PER_CUBIC_ANGSTROM_IN_GPA


@dataclass(frozen=True, slots=True)
class FrameErrors:
    """Errors frame by frame, NaN without a label; sums over components but for `forces`."""

    n_atoms: Int64[np.ndarray, "n"]
    energy: Float64[np.ndarray, "n"]
    """eV/atom, predicted less labelled"""
    forces: Shaped[np.ndarray, "n"]
    """arrays of shape (n_atoms, 3), eV/Å, predicted less labelled"""
    force_absolute: Float64[np.ndarray, "n"]
    """eV/Å"""
    force_square: Float64[np.ndarray, "n"]
    stress_absolute: Float64[np.ndarray, "n"]
    """eV/Å³"""
    stress_square: Float64[np.ndarray, "n"]


@dataclass(frozen=True, slots=True)
class Errors:
    """Mean absolute and root mean square errors over some frames, in a reader's units.

    NaN where no frame has a label.
    """

    n_frames: int
    energy_mae: float
    """meV/atom"""
    energy_rmse: float
    force_mae: float
    """meV/Å, over components"""
    force_rmse: float
    stress_mae: float
    """GPa, over the nine components"""
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
    forces: list[np.ndarray] = []
    for members in pack([f.graph.n_edges for f in frames], max_edges):
        batch = collate([frames[i] for i in members], device)
        predicted = predict(model, batch.graph)
        if predicted.forces is None or predicted.stress is None:
            raise ValueError("errors need a prediction with derivatives")
        index, force = batch.graph.structure_index, predicted.forces - batch.forces
        force = torch.where(batch.has_forces[index, None] > 0, force, torch.nan)
        zero = torch.zeros_like(batch.n_atoms)
        stress = torch.where(
            batch.has_stress[:, None, None] > 0, stress_errors(predicted.stress, batch), torch.nan
        )
        energy = torch.where(batch.has_energy > 0, predicted.energy - batch.energy, torch.nan)
        sizes = [frames[i].graph.n_atoms for i in members]
        forces += [part.cpu().numpy() for part in force.detach().split(sizes)]
        columns.append(
            _table(
                batch.n_atoms,
                energy / batch.n_atoms,
                zero.index_add(0, index, force.abs().sum(dim=1)),
                zero.index_add(0, index, force.square().sum(dim=1)),
                stress.abs().sum(dim=(1, 2)),
                stress.square().sum(dim=(1, 2)),
            )
        )
    n_atoms, energy_errors, *others = np.concatenate(columns, axis=1)
    pointers = np.empty(len(forces), dtype=object)
    pointers[:] = forces
    return FrameErrors(n_atoms.astype(np.int64), energy_errors, pointers, *others)


def summarise(errors: FrameErrors, members: Sequence[int] | None = None) -> Errors:
    """Mean errors over all frames, or over some of them."""
    chosen = np.arange(len(errors.energy)) if members is None else np.array(members)

    def known(column: Float64[np.ndarray, "n"]) -> Int64[np.ndarray, "_"]:
        return chosen[np.isfinite(column[chosen])]

    energy = 1e3 * errors.energy[known(errors.energy)]
    pushed, stressed = known(errors.force_absolute), known(errors.stress_absolute)
    components = 3 * int(errors.n_atoms[pushed].sum())
    gpa = EV_PER_CUBIC_ANGSTROM_IN_GPA
    return Errors(
        n_frames=len(chosen),
        energy_mae=_mean(np.abs(energy).sum(), len(energy)),
        energy_rmse=_mean(np.square(energy).sum(), len(energy)) ** 0.5,
        force_mae=1e3 * _mean(errors.force_absolute[pushed].sum(), components),
        force_rmse=1e3 * _mean(errors.force_square[pushed].sum(), components) ** 0.5,
        stress_mae=gpa * _mean(errors.stress_absolute[stressed].sum(), 9 * len(stressed)),
        stress_rmse=gpa * _mean(errors.stress_square[stressed].sum(), 9 * len(stressed)) ** 0.5,
    )


def summarise_by(errors: FrameErrors, labels: Sequence[str]) -> dict[str, Errors]:
    """Mean errors of the frames of each label, and of all under "all"."""
    named = {
        label: summarise(errors, [i for i, own in enumerate(labels) if own == label])
        for label in sorted(set(labels))
    }
    return {**named, "all": summarise(errors)}


def config_types(frames: Sequence[Frame]) -> list[str]:
    """Label of each frame: its config_type, or its file where it has none."""
    return [frame.config_type or frame.source for frame in frames]


def write_table(path: Path, errors: Mapping[str, Errors]) -> None:
    """Write errors as CSV, a row for each name; empty where there was no label."""
    columns = [field.name for field in fields(Errors)]
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["name", *columns])
        for name, row in errors.items():
            values = [getattr(row, column) for column in columns]
            writer.writerow([name, *("" if value != value else f"{value:.6g}" for value in values)])


def _mean(total: float, count: int) -> float:
    return float(total) / count if count else float("nan")


def _table(*columns: Float[Tensor, "n"]) -> Float64[np.ndarray, "_ n"]:
    return torch.stack([column.detach().double() for column in columns]).cpu().numpy()
