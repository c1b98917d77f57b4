"""The training loop: one state, stepped batch by batch, stopped and resumed anywhere."""

from __future__ import annotations

import csv
import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic

import numpy as np
import torch

from ase_symcalc.errors import NumericalError
from ase_symcalc.models.heads import Heads, Model
from ase_symcalc.response import predict
from ase_symcalc.training.checkpoint import read_checkpoint, write_checkpoint
from ase_symcalc.training.config import TrainConfig, Weights
from ase_symcalc.training.dataset import Frame, collate, epoch_order, pack
from ase_symcalc.training.loss import BatchSize, batch_loss, validation_score
from ase_symcalc.training.metrics import Errors, FrameErrors, frame_errors, summarise
from ase_symcalc.training.optimise import AveragedModel, learning_rate, make_optimiser
from ase_symcalc.training.plots import plot_history
from ase_symcalc.training.progress import Report

COLUMNS = (
    *("epoch", "minutes", "learning_rate", "training_loss"),
    *(column.name for column in dataclasses.fields(Errors) if column.name != "n_frames"),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Learnt:
    """Frames to learn from, energies less the reference energies of their head."""

    frames: Sequence[Frame]
    """all of them in each epoch"""
    replay: Sequence[Frame] = ()
    n_replayed: int = 0
    """how many of `replay` are in an epoch, drawn anew for each"""

    def epoch(self, seed: int, epoch: int) -> list[Frame]:
        """Frames of an epoch in their order: a function of the arguments, as a resume needs."""
        drawn = epoch_order(len(self.replay), seed, -1 - epoch)[: self.n_replayed]
        frames = [*self.frames, *(self.replay[i] for i in drawn)]
        return [frames[i] for i in epoch_order(len(frames), seed, epoch)]


class Trainer(Generic[Model]):
    """Networks, their optimiser and how far they have come.

    The order of the frames is a function of seed and epoch, nothing else is random, and
    plateaus are found in the history. So weights, optimiser, average, epoch and batch are the
    whole state, and a resumed run repeats the uninterrupted one to the last bit (on one CPU
    thread).

    Parameters
    ----------
    heads : Heads
        With reference energies of zero; trained in place.
    learnt : Learnt
    validation : sequence of Frame
        Energies less the reference energies of their head.
    config : TrainConfig
    folder : Path
        Where checkpoint, log and plot are written.
    digest : str
        Of all that must be the same for a checkpoint to fit.
    """

    def __init__(
        self,
        heads: Heads[Model],
        learnt: Learnt,
        validation: Sequence[Frame],
        config: TrainConfig,
        folder: Path,
        digest: str,
    ) -> None:
        self.heads, self.config, self.folder, self.digest = heads, config, folder, digest
        self.learnt, self.validation = learnt, validation
        self.device = next(heads.parameters()).device
        self.optimiser = make_optimiser(heads, config.optimiser)
        self.average = AveragedModel(heads, config.optimiser.average_decay)
        self.size = BatchSize.average(learnt.epoch(0, 0), config.optimiser.max_edges)
        self.epoch, self.batch, self.steps = 0, 0, 0
        self.loss_sum = 0.0
        self.history: list[dict[str, int | float]] = []
        self._seconds_before = 0.0
        self._started = time.monotonic()

    @property
    def checkpoint(self) -> Path:
        """File the state is written to."""
        return self.folder / "checkpoint.pt"

    @property
    def finished(self) -> bool:
        """Whether all epochs are done."""
        return self.epoch >= self.config.schedule.epochs

    @property
    def minutes(self) -> float:
        """Time spent on the run in all sittings."""
        return (self._seconds_before + time.monotonic() - self._started) / 60

    def run(self, report: Report, stop: Callable[[], bool]) -> None:
        """Train until done or until ``stop``, asked after each batch, says so."""
        self._write_log()  # cut back to where we are, if an earlier sitting came further
        saved = time.monotonic()
        while not self.finished:
            batches = self._batches()
            while self.batch < len(batches):
                loss = self._step(batches[self.batch], len(batches))
                self.batch += 1
                report.step(self.epoch + self.batch / len(batches), loss)
                if stop():
                    return self.save()
                if time.monotonic() - saved > 60 * self.config.schedule.checkpoint_minutes:
                    self.save()
                    saved = time.monotonic()
            report.epoch(self._end_epoch(len(batches)))
        return self.save()

    def save(self) -> None:
        """Write checkpoint, log and plot."""
        state: dict[str, Any] = {
            "digest": self.digest,
            "model": self.heads.state_dict(),
            "average": self.average.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "counters": [self.epoch, self.batch, self.steps],
            "loss_sum": self.loss_sum,
            "history": self.history,
            "seconds": 60 * self.minutes,
        }
        write_checkpoint(self.checkpoint, state)
        if self.history:
            plot_history(self.folder / "loss.png", self.history, self._second_stage_start)

    def resume(self) -> None:
        """Take up the state of the checkpoint."""
        state = read_checkpoint(self.checkpoint, self.digest, self.device)
        self.heads.load_state_dict(state["model"])
        self.average.model.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.epoch, self.batch, self.steps = state["counters"]
        self.loss_sum, self.history = state["loss_sum"], state["history"]
        self._seconds_before, self._started = state["seconds"], time.monotonic()

    @property
    def _second_stage_start(self) -> float:
        return self.config.schedule.epochs * (1 - self.config.schedule.second_stage)

    def _weights(self) -> Weights:
        loss = self.config.loss
        return loss.first if self.epoch < self._second_stage_start else loss.second

    def _batches(self) -> list[list[Frame]]:
        frames = self.learnt.epoch(self.config.seed, self.epoch)
        packed = pack([f.graph.n_edges for f in frames], self.config.optimiser.max_edges)
        return [[frames[i] for i in members] for members in packed]

    def _step(self, frames: Sequence[Frame], n_batches: int) -> float:
        optimiser = self.config.optimiser
        rate = learning_rate(
            self.epoch + self.batch / n_batches,
            optimiser.learning_rate,
            self.config.schedule,
            [validation_score(row, self.config.loss) for row in self.history],
        )
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        total = 0.0
        for head, members in by_head(frames).items():
            batch = collate([frames[i] for i in members], self.device)
            prediction = predict(self.heads[head], batch.graph, create_graph=True)
            loss = batch_loss(prediction, batch, self.config.loss, self._weights(), self.size)
            loss.backward()
            total += loss.item()
        length = torch.nn.utils.clip_grad_norm_(self.heads.parameters(), optimiser.max_gradient)
        if not torch.isfinite(length):
            raise NumericalError(
                f"the gradient of batch {self.batch} of epoch {self.epoch + 1} is {float(length)}; "
                "train with a lower optimiser.learning_rate, or drop frames with a lower "
                "data.max_force"
            )
        self.optimiser.step()
        self.average.update(self.heads, self.steps)
        self.steps += 1
        self.loss_sum += total
        return total

    def _end_epoch(self, n_batches: int) -> dict[str, int | float]:
        errors = errors_of_heads(
            self.average.model, self.validation, self.config.optimiser.max_edges
        )
        self.epoch, self.batch = self.epoch + 1, 0
        row = {
            "epoch": self.epoch,
            "minutes": round(self.minutes, 3),
            "learning_rate": self.optimiser.param_groups[0]["lr"],
            "training_loss": self.loss_sum / n_batches,
            **dataclasses.asdict(summarise(errors)),
        }
        self.loss_sum = 0.0
        self.history.append(row)
        self._write_log()
        return row

    def _write_log(self) -> None:
        with (self.folder / "log.csv").open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, COLUMNS, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(self.history)


def by_head(frames: Sequence[Frame]) -> dict[str, list[int]]:
    """Positions of the frames of each head."""
    found: dict[str, list[int]] = {}
    for i, frame in enumerate(frames):
        found.setdefault(frame.head, []).append(i)
    return found


def errors_of_heads(heads: Heads[Model], frames: Sequence[Frame], max_edges: int) -> FrameErrors:
    """Errors of each frame, in order, each by the network of its head."""
    device = next(heads.parameters()).device
    members = by_head(frames)
    parts = [
        frame_errors(heads[head], [frames[i] for i in own], max_edges=max_edges, device=device)
        for head, own in members.items()
    ]
    order = np.argsort([i for own in members.values() for i in own])
    columns = (column.name for column in dataclasses.fields(FrameErrors))
    return FrameErrors(
        *(np.concatenate([getattr(part, name) for part in parts])[order] for name in columns)
    )
