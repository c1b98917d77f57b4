"""From a configuration to trained potentials."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from llvmlite.binding import get_host_cpu_name

from ase_symcalc.models import AbstractEnergyModel, NetworkConfig
from ase_symcalc.models.heads import Heads, build_heads
from ase_symcalc.potential_files import Potential, TrainingRecord
from ase_symcalc.potential_files.load import target_of
from ase_symcalc.training.checks import check_frames
from ase_symcalc.training.config import DataFile, TrainConfig
from ase_symcalc.training.dataset import Frame, data_digest, read_frames
from ase_symcalc.training.export import export, make_card
from ase_symcalc.training.loop import Learnt, Trainer, by_head, errors_of_heads
from ase_symcalc.training.metrics import Errors, config_types, summarise_by, write_table
from ase_symcalc.training.optimise import freeze
from ase_symcalc.training.plots import plot_errors, plot_parity
from ase_symcalc.training.progress import Report
from ase_symcalc.training.references import (
    Baseline,
    fit_baseline,
    mean_neighbours,
    refit_references,
    subtract_references,
)
from ase_symcalc.training.split import split
from ase_symcalc.training.start import load_starts


@dataclass(frozen=True, slots=True)
class Data:
    """Frames of a run, energies less the reference energies of their head."""

    learnt: Learnt
    validation: list[Frame]
    test: list[Frame]
    baselines: dict[str, Baseline]
    """of each head; ``""`` if there are none"""
    model: NetworkConfig
    """with its neighbours counted"""


def train(config: TrainConfig, *, resume: bool = True, progress: bool = True) -> Path:
    """Train a potential or a committee, or go on where an earlier call stopped.

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
        ``errors.json``, ``config_types.csv``, for the frames held out and those of the tests
        ``parity-*.png`` and ``errors-*.png``, and the potential in ``potential``, called a
        preview on its card until all epochs are done. Of a committee, the folder above those
        of its members, which are called ``member-1``, ``member-2``, ...

    Raises
    ------
    InputError
        If data or configuration make no sense, there is no such device, or the checkpoint is
        of another run.
    NumericalError
        If training diverges.
    """
    device = config.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    target_of(device, "float32")  # refused before the data are read
    minutes = config.schedule.max_minutes
    deadline = float("inf") if minutes is None else time.monotonic() + 60 * minutes
    starts = load_starts(config.start.potential, config.model.heads) if config.start else {}
    data: Data | None = None
    for member in range(config.members):
        if time.monotonic() > deadline and member:
            break
        own = _member(config, member)
        folder = Path(own.folder)
        folder.mkdir(parents=True, exist_ok=True)
        with Report(config.schedule.epochs, quiet=not progress) as report:
            if data is None:
                data = prepare(config, starts)
                report.say(_summary(data))
            if config.members > 1:
                report.say(f"member {member + 1} of {config.members}, seed {own.seed}")
            heads = _networks(own, data, starts).to(device, torch.float32)
            digest = _digest(config, own.seed, starts)
            trainer = Trainer(heads, data.learnt, data.validation, own, folder, digest)
            if resume and trainer.checkpoint.exists():
                trainer.resume()
                report.say(f"going on from epoch {trainer.epoch}, batch {trainer.batch}")
            _write_json(folder / "config.json", asdict(own))
            make_card(own.card, heads, [], {}, {})  # a mistake in it must not wait for the end
            trainer.run(report, stop=lambda: time.monotonic() > deadline)
            if not trainer.finished:
                report.say(f"time is up after {trainer.epoch} epochs; call again to go on")
        _conclude(trainer, data)
    return Path(config.folder)


def prepare(config: TrainConfig, starts: Mapping[str, Potential]) -> Data:
    """Read, check, split and count the frames of a run.

    Parameters
    ----------
    config : TrainConfig
    starts : mapping of str to Potential
        What each head starts from; empty if all weights are new.
    """
    settings = config.data

    def sides(files: Sequence[DataFile]) -> tuple[list[Frame], list[Frame]]:
        frames = _read(files, config, settings.max_force, primitive=True)
        return split(frames, settings.validation_fraction, config.seed)

    training, validation = sides(settings.train)
    replay: list[Frame] = []
    n_replayed = 0
    if config.start and config.start.replay:
        replay, held_out = sides(config.start.replay)
        validation = validation + held_out
        share = config.start.replay_fraction / (1 - config.start.replay_fraction)
        n_replayed = min(round(share * len(training)), len(replay))
    test = _read(settings.test, config, float("inf"))
    if settings.check:
        check_frames((*training, *validation, *replay, *test))
    model = config.model
    if not starts:
        model = model.with_neighbours(mean_neighbours(training))
    baselines = {
        head: _baseline([f for f in (*training, *replay) if f.head == head], head, config, starts)
        for head in model.heads or ("",)
    }

    def interaction(frames: Sequence[Frame]) -> list[Frame]:
        return [
            rest
            for f in frames
            for rest in subtract_references(
                [f], model.elements, baselines[f.head].reference_energies
            )
        ]

    learnt = Learnt(interaction(training), interaction(replay), n_replayed)
    return Data(learnt, interaction(validation), interaction(test), baselines, model)


def _read(
    files: Sequence[DataFile], config: TrainConfig, max_force: float, *, primitive: bool = False
) -> list[Frame]:
    """Frames of some files; those of tests whole, for errors are told of published frames."""
    model, weights = config.model, config.data.weights
    return [
        frame
        for file in files
        for frame in read_frames(
            file,
            model.cutoff,
            model.elements,
            weights=weights,
            max_force=max_force,
            primitive=primitive,
        )
    ]


def _baseline(
    frames: Sequence[Frame], head: str, config: TrainConfig, starts: Mapping[str, Potential]
) -> Baseline:
    if not config.start:
        return fit_baseline(frames, config.model.elements)
    start = starts[head].model
    parts = start.reference_energies.double().reshape(-1, len(start.elements))
    references, scale = parts.sum(0).numpy(), float(start.scale.mean())
    if config.start.references == "refit":
        bare = _networks_from(starts[head].model.config, {"": starts[head]})[""]
        references = refit_references(
            frames, bare, references, max_edges=config.optimiser.max_edges
        )
    return Baseline(references, scale)


def _networks(
    config: TrainConfig, data: Data, starts: Mapping[str, Potential]
) -> Heads[AbstractEnergyModel]:
    """Networks to train, random or those started from, with reference energies of zero."""
    if config.start:
        heads = _networks_from(data.model, starts)
        for name in heads.names:
            freeze(heads[name], config.start.freeze)
        return heads
    heads = build_heads(data.model, seed=config.seed)
    for name in heads.names:
        heads[name].set_baseline(torch.zeros(len(data.model.elements)), data.baselines[name].scale)
    return heads


def _networks_from(
    config: NetworkConfig, starts: Mapping[str, Potential]
) -> Heads[AbstractEnergyModel]:
    heads = build_heads(config).to("cpu", torch.float32)
    for name in heads.names:
        heads[name].load_state_dict(starts[name].model.state_dict())
        heads[name].reference_energies.zero_()
    return heads


def _conclude(trainer: Trainer[AbstractEnergyModel], data: Data) -> None:
    """Measure the averaged networks; write the errors and the potential."""
    heads, folder = trainer.average.model, trainer.folder
    errors: dict[str, Errors] = {}
    types: dict[str, Errors] = {}
    origin: dict[str, str] = {}
    for frames, name in ((data.validation, "held out"), (data.test, "test")):
        if not frames:
            continue
        suffix, stem = f", {name}", name.replace(" ", "-")
        found = errors_of_heads(heads, frames, trainer.config.optimiser.max_edges)
        named = summarise_by(found, [frame.source for frame in frames])
        errors |= {name + suffix: each for name, each in named.items()}
        origin |= {frame.source + suffix: frame.head for frame in frames}
        named = summarise_by(found, config_types(frames))
        types |= {name + suffix: each for name, each in named.items()}
        plot_parity(folder / f"parity-{stem}.png", frames, found)
        plot_errors(folder / f"errors-{stem}.png", frames, found)
    write_table(folder / "config_types.csv", types)
    rows = {
        name: {key: None if value != value else value for key, value in asdict(row).items()}
        for name, row in errors.items()
    }
    _write_json(folder / "errors.json", rows)
    settings = trainer.config.card
    if not trainer.finished:
        settings = replace(settings, preview=True)
    seen = (*data.learnt.frames, *data.learnt.replay)
    card = make_card(settings, heads, seen, errors, origin)
    record = _record(trainer)
    export(folder / "potential", heads, data.baselines, card, seen, data.validation, record)


def _record(trainer: Trainer[AbstractEnergyModel]) -> TrainingRecord:
    config = trainer.config
    return TrainingRecord(
        seed=config.seed,
        epochs=trainer.epoch,
        minutes=round(trainer.minutes, 1),
        machine=f"{get_host_cpu_name()}, {os.cpu_count()} cores, {torch.get_num_threads()} used",
        data_sha256=data_digest(config.data.train),
        microseconds_per_atom=0.0,
    )


def _member(config: TrainConfig, member: int) -> TrainConfig:
    """Give one member of a committee its own folder, name and seed."""
    if config.members == 1:
        return config
    folder = str(Path(config.folder) / f"member-{member + 1}")
    card = replace(config.card, name=f"{config.card.name}-{member + 1}")
    return replace(config, folder=folder, card=card, seed=config.seed + member)


def _summary(data: Data) -> str:
    words = [f"{len(data.learnt.frames)} frames to train on"]
    if data.learnt.replay:
        words.append(f"{data.learnt.n_replayed} of {len(data.learnt.replay)} to replay")
    words += [f"{len(data.validation)} to validate", f"{len(data.test)} to test"]
    if len(data.baselines) > 1:
        counts = {head: len(own) for head, own in by_head(data.learnt.frames).items()}
        words.append(f"heads {', '.join(f'{head} ({n})' for head, n in counts.items())}")
    return f"{', '.join(words)}; {mean_neighbours(data.learnt.frames):.1f} neighbours per atom"


def _digest(config: TrainConfig, seed: int, starts: Mapping[str, Potential]) -> str:
    """Of all that decides how one member's training goes."""
    settings: dict[str, Any] = asdict(config)
    for key in ("folder", "device", "card", "members"):
        del settings[key]
    for key in ("train", "test"):
        settings["data"][key] = _contents(getattr(config.data, key))
    for key in ("max_minutes", "checkpoint_minutes"):
        del settings["schedule"][key]
    if config.start:
        settings["start"]["potential"] = [start.digest for start in starts.values()]
        settings["start"]["replay"] = _contents(config.start.replay)
    settings["member_seed"] = seed
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _contents(files: Sequence[DataFile]) -> list[Any]:
    """Hash of each file and what is taken from it, wherever it lies."""
    return [[data_digest([file]), asdict(replace(file, path=""))] for file in files]


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
