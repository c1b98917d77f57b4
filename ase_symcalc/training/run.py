"""From a configuration to a trained potential."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch

from ase_symcalc.models import build_model
from ase_symcalc.models.symnet import SymNet
from ase_symcalc.potential_files.load import target_of
from ase_symcalc.training.config import DataFile, TrainConfig
from ase_symcalc.training.dataset import Frame, data_digest, read_frames, split
from ase_symcalc.training.export import export, make_card
from ase_symcalc.training.loop import Trainer
from ase_symcalc.training.metrics import Errors, frame_errors, summarise_by
from ase_symcalc.training.progress import Report
from ase_symcalc.training.references import Baseline, fit_baseline, subtract_references


@dataclass(frozen=True, slots=True)
class Data:
    """Frames of a run, energies less the reference energies."""

    training: list[Frame]
    validation: list[Frame]
    test: list[Frame]
    baseline: Baseline


def train(config: TrainConfig, *, resume: bool = True, progress: bool = True) -> Path:
    """Train a potential, or go on where an earlier call stopped.

    Parameters
    ----------
    config : TrainConfig
    resume : bool
        Take up the checkpoint of the folder if there is one; else start again.
    progress : bool
        Show how it goes.

    Returns
    -------
    Path
        The folder of the run: ``checkpoint.pt``, ``log.csv``, ``loss.png``, ``config.json``,
        ``errors.json``, and the potential in ``potential``, called a preview on its card until
        all epochs are done.

    Raises
    ------
    InputError
        If data or configuration make no sense, there is no such device, or the checkpoint is
        of another run.
    NumericalError
        If training diverges.
    """
    target_of(config.device, "float32")  # refused before the data are read
    minutes = config.schedule.max_minutes
    deadline = float("inf") if minutes is None else time.monotonic() + 60 * minutes
    folder = Path(config.folder)
    folder.mkdir(parents=True, exist_ok=True)
    with Report(config.schedule.epochs, quiet=not progress) as report:
        data = prepare(config)
        report.say(
            f"{len(data.training)} frames to train on, {len(data.validation)} to validate, "
            f"{len(data.test)} to test; {data.baseline.avg_num_neighbours:.1f} neighbours per atom"
        )
        model = _untrained_model(config, data.baseline)
        trainer = Trainer(model, data.training, data.validation, config, folder, _digest(config))
        if resume and trainer.checkpoint.exists():
            trainer.resume()
            report.say(f"going on from epoch {trainer.epoch}, batch {trainer.batch}")
        _write_json(folder / "config.json", asdict(config))
        make_card(config.card, model, [], {})  # a mistake in it must not wait for the end
        trainer.run(report, stop=lambda: time.monotonic() > deadline)
        if not trainer.finished:
            report.say(f"time is up after {trainer.epoch} epochs; call again to go on")
    _conclude(trainer, data)
    return folder


def prepare(config: TrainConfig) -> Data:
    """Read, check, split and count the frames of a run."""
    model, settings = config.model, config.data

    def read(files: Sequence[DataFile], max_force: float) -> list[Frame]:
        return [
            frame
            for file in files
            for frame in read_frames(
                file, model.cutoff, model.elements, weights=settings.weights, max_force=max_force
            )
        ]

    training, validation = split(
        read(settings.train, settings.max_force), settings.validation_fraction, config.seed
    )
    test = read(settings.test, float("inf"))
    baseline = fit_baseline(training, model.elements)

    def interaction(frames: Sequence[Frame]) -> list[Frame]:
        return subtract_references(frames, model.elements, baseline.reference_energies)

    return Data(interaction(training), interaction(validation), interaction(test), baseline)


def _conclude(trainer: Trainer[SymNet], data: Data) -> None:
    """Measure the averaged model; write the errors and the potential."""
    errors: dict[str, Errors] = {}
    for frames, suffix in ((data.validation, ", held out"), (data.test, ", test")):
        if not frames:
            continue
        found = frame_errors(
            trainer.average.model,
            frames,
            max_edges=trainer.config.optimiser.max_edges,
            device=trainer.config.device,
        )
        named = summarise_by(found, [frame.source for frame in frames])
        errors |= {name + suffix: each for name, each in named.items()}
    rows = {
        name: {key: None if value != value else value for key, value in asdict(row).items()}
        for name, row in errors.items()
    }
    _write_json(trainer.folder / "errors.json", rows)
    settings = trainer.config.card
    if not trainer.finished:
        settings = replace(settings, preview=True)
    model = trainer.average.model
    card = make_card(settings, model, data.training, errors)
    export(trainer.folder / "potential", model, data.baseline, card, data.validation)


def _untrained_model(config: TrainConfig, baseline: Baseline) -> SymNet:
    counted = replace(config.model, avg_num_neighbours=baseline.avg_num_neighbours)
    model = cast(SymNet, build_model(counted, seed=config.seed))
    model.set_baseline(torch.zeros(len(model.elements)), baseline.scale)
    return model.to(config.device, torch.float32)


def _digest(config: TrainConfig) -> str:
    settings: dict[str, Any] = asdict(config)
    for key in ("folder", "device", "card"):
        del settings[key]
    for key in ("train", "test"):
        settings["data"][key] = data_digest(getattr(config.data, key))
    for key in ("max_minutes", "checkpoint_minutes"):
        del settings["schedule"][key]
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
