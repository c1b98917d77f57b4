"""Settings for training a potential further, where a user gives only frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ase_symcalc.training.config import (
    CardConfig,
    DataConfig,
    DataFile,
    OptimiserConfig,
    ScheduleConfig,
    StartConfig,
    TrainConfig,
)
from ase_symcalc.training.start import load_starts


def fine_tuning(potential: str, files: Sequence[str], folder: str | None = None) -> TrainConfig:
    """Return settings that train a potential further on a few labelled frames.

    A tenth of the usual learning rate, small batches and a short average, because there are
    few steps; references are refitted, because the zero of energy is rarely the same.

    Parameters
    ----------
    potential : str
        Name or folder, with ``@`` and a head if it has several.
    files : sequence of str
        Labelled frames, in anything that ASE reads.
    folder : str, optional
        Where the run writes; else a folder here that is named after the potential.
    """
    start = load_starts(potential, ())[""]
    name = f"{start.card.name}-tuned"
    names = ", ".join(Path(file).name for file in files)
    card = CardConfig(
        name=name,
        description=f"{start.card.name} {start.card.version}, fine-tuned on {names}",
        preview=start.card.preview,
        level_of_theory=f"that of {names}; before: {start.card.level_of_theory}",
        training_data=f"{names}; before: {start.card.training_data}",
        not_for="structures unlike those it was fine-tuned on: it may have forgotten the others",
        reproduce=f"symcalc train --fine-tune {potential} {' '.join(files)}",
        licence=start.card.licence,
        references=start.card.references,
    )
    return TrainConfig(
        folder=folder or name,
        model=start.model.config,
        data=DataConfig(train=tuple(DataFile(file) for file in files), validation_fraction=0.1),
        optimiser=OptimiserConfig(learning_rate=5e-4, max_edges=5000, average_decay=0.99),
        schedule=ScheduleConfig(epochs=50),
        start=StartConfig(potential),
        card=card,
    )
