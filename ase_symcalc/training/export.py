"""From a trained network to the folder of a potential."""

from __future__ import annotations

import copy
import dataclasses
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from ase import Atoms
from ase.data import atomic_numbers

from ase_symcalc.models import AbstractEnergyModel
from ase_symcalc.models.symnet import SymNet
from ase_symcalc.potential_files import AccuracyRow, PotentialCard, make_golden, save_potential
from ase_symcalc.training.config import CardConfig
from ase_symcalc.training.dataset import Frame
from ase_symcalc.training.metrics import Errors
from ase_symcalc.training.references import Baseline

GOLDEN_COMMAND = (
    "python -c 'from ase_symcalc.potential_files import *; "
    'print(golden_deviation(load_potential("{name}")))\''
)


def make_card(
    config: CardConfig,
    model: AbstractEnergyModel,
    frames: Sequence[Frame],
    errors: Mapping[str, Errors],
) -> PotentialCard:
    """Card of a model trained on some frames.

    Parameters
    ----------
    config : CardConfig
    model : AbstractEnergyModel
    frames : sequence of Frame
        Those it was trained on.
    errors : mapping of str to Errors
        On what it was not trained on, by the name of the data.
    """
    settings = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    rows = tuple(
        AccuracyRow(name, round(row.energy_mae, 3), round(row.force_mae, 3), _known(row.stress_mae))
        for name, row in errors.items()
    )
    return PotentialCard(
        elements=model.elements,
        pairs=_pairs(frames, model.elements),
        cutoff=model.cutoff,
        interaction_range=model.interaction_range,
        dtype="float32",
        accuracy=rows,
        **settings,
    )


def export(
    folder: Path,
    model: SymNet,
    baseline: Baseline,
    card: PotentialCard,
    frames: Sequence[Frame],
) -> None:
    """Write a potential, in place of an earlier one of the same run.

    Parameters
    ----------
    folder : Path
    model : SymNet
        With reference energies of zero; left as it is.
    baseline : Baseline
        Its reference energies are put in, in float64.
    card : PotentialCard
    frames : sequence of Frame
        The smallest of each source become the golden structures.
    """
    model = copy.deepcopy(model).cpu()
    model.reference_energies = torch.from_numpy(baseline.reference_energies)
    smallest: dict[str, Frame] = {}
    for frame in sorted(frames, key=lambda frame: frame.graph.n_atoms):
        smallest.setdefault(frame.source, frame)
    structures = {source: _atoms(frame) for source, frame in smallest.items()}
    golden = make_golden(model, structures, GOLDEN_COMMAND.format(name=card.name))
    if folder.exists():
        shutil.rmtree(folder)
    save_potential(folder, model, card, golden)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)


def _pairs(frames: Sequence[Frame], elements: Sequence[str]) -> tuple[str, ...]:
    """Pairs of elements closer than the cutoff somewhere, in the order of the elements."""
    met: set[tuple[int, int]] = set()
    for frame in frames:
        pairs = frame.graph.atomic_numbers[frame.graph.edge_index].unique(dim=1)
        met.update((centre, neighbour) for centre, neighbour in pairs.T.tolist())
    numbers = [atomic_numbers[symbol] for symbol in elements]
    return tuple(
        f"{elements[i]}-{elements[j]}"
        for i in range(len(elements))
        for j in range(i, len(elements))
        if (numbers[i], numbers[j]) in met
    )


def _atoms(frame: Frame) -> Atoms:
    graph = frame.graph
    return Atoms(
        graph.atomic_numbers.numpy(),
        positions=graph.positions.double().numpy(),
        cell=graph.cell[0].double().numpy(),
        pbc=graph.pbc[0].numpy(),
    )
