from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ase_symcalc.errors import InputError, NumericalError
from ase_symcalc.models.heads import Heads
from ase_symcalc.training.config import OptimiserConfig, TrainConfig
from ase_symcalc.training.dataset import read_frames
from ase_symcalc.training.loop import Learnt, Trainer
from ase_symcalc.training.progress import Report
from ase_symcalc.training.references import fit_baseline, subtract_references
from ase_symcalc.training.split import split


@pytest.fixture
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make(
    config: TrainConfig, model: torch.nn.Module, folder: Path, *, replay: bool = False
) -> Trainer:
    frames = read_frames(config.data.train[0], model.cutoff, model.elements, weights={})
    references = fit_baseline(frames, model.elements).reference_energies
    frames = subtract_references(frames, model.elements, references)
    training, validation = split(frames, config.data.validation_fraction, config.seed)
    folder.mkdir(exist_ok=True)
    learnt = Learnt(training[2:], training[:2], 1) if replay else Learnt(training)
    return Trainer(Heads({"": model}), learnt, validation, config, folder, "digest")


def run(trainer: Trainer, steps: int | None = None) -> Trainer:
    report = Report(trainer.config.schedule.epochs, quiet=True)
    trainer.run(report, stop=lambda: trainer.steps == steps)
    return trainer


def state(trainer: Trainer) -> dict[str, Tensor]:
    optimiser = trainer.optimiser.state_dict()["state"]
    return {
        **{f"model {k}": v for k, v in trainer.heads.state_dict().items()},
        **{f"average {k}": v for k, v in trainer.average.model.state_dict().items()},
        **{f"moment {i} {k}": v for i, s in optimiser.items() for k, v in s.items()},
    }


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    ("steps", "decay", "replay"),
    [(1, "cosine", False), (5, "plateau", False), (10, "cosine", True)],
)
def test_a_run_killed_within_an_epoch_goes_on_bit_for_bit(
    config: TrainConfig, pair_model: type, tmp_path: Path, steps: int, decay: str, replay: bool
) -> None:
    schedule = replace(config.schedule, decay=decay, patience=1)
    config = replace(config, schedule=schedule)
    whole = run(make(config, pair_model(), tmp_path / "whole", replay=replay))
    config = replace(config, schedule=replace(schedule, checkpoint_minutes=0.0))
    killed = make(config, pair_model(), tmp_path / "killed", replay=replay)

    def kill() -> bool:
        if killed.steps > steps:  # the last step is lost: it is in no checkpoint yet
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        killed.run(Report(4, quiet=True), stop=kill)
    # the new process starts from other weights, and must not use them
    resumed = make(config, pair_model(seed=5), tmp_path / "killed", replay=replay)
    resumed.resume()
    assert resumed.steps == steps
    assert resumed.batch > 0
    run(resumed)
    expected = state(whole)
    for name, tensor in state(resumed).items():
        assert torch.equal(tensor, expected[name]), name
    columns = [k for k in whole.history[0] if k != "minutes"]
    for own, other in zip(resumed.history, whole.history, strict=True):
        np.testing.assert_equal([own[k] for k in columns], [other[k] for k in columns])


def test_the_error_falls_and_the_log_says_so(
    config: TrainConfig, pair_model: type, tmp_path: Path
) -> None:
    longer = replace(
        config,
        schedule=replace(config.schedule, epochs=15),
        optimiser=replace(config.optimiser, learning_rate=0.05),
    )
    run(make(longer, pair_model(), tmp_path))
    with (tmp_path / "log.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["epoch"]) for row in rows] == list(range(1, 16))
    assert float(rows[-1]["force_rmse"]) < 0.7 * float(rows[0]["force_rmse"])
    assert float(rows[-1]["training_loss"]) > 0
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in tmp_path.iterdir()} >= {"checkpoint.pt", "log.csv", "loss.png"}
    assert not list(tmp_path.glob("*.tmp"))


def test_a_log_beyond_the_checkpoint_is_cut_back(
    config: TrainConfig, pair_model: type, tmp_path: Path
) -> None:
    run(make(config, pair_model(), tmp_path), 9)
    checkpoint = (tmp_path / "checkpoint.pt").read_bytes()
    run(make(config, pair_model(), tmp_path))
    (tmp_path / "checkpoint.pt").write_bytes(checkpoint)
    resumed = make(config, pair_model(), tmp_path)
    resumed.resume()
    run(resumed, resumed.steps + 1)
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 1 + resumed.epoch


def test_a_checkpoint_of_another_run_or_a_damaged_one_is_refused(
    config: TrainConfig, pair_model: type, tmp_path: Path
) -> None:
    trainer = run(make(config, pair_model(), tmp_path), 1)
    trainer.digest = "another"
    with pytest.raises(InputError, match="another configuration or other data"):
        trainer.resume()
    trainer.checkpoint.write_bytes(trainer.checkpoint.read_bytes()[:500])
    with pytest.raises(InputError, match=r"cannot be read: .* start again with --no-resume"):
        trainer.resume()
    torch.save({"weights": 1}, trainer.checkpoint)
    with pytest.raises(InputError, match="has schema None, this version reads 1"):
        trainer.resume()


def test_a_run_that_diverges_says_where_and_what_to_do(
    config: TrainConfig, pair_model: type, tmp_path: Path
) -> None:
    model = pair_model()
    with torch.no_grad():
        model.readout[0] = torch.nan
    trainer = make(config, model, tmp_path)
    with pytest.raises(
        NumericalError, match=r"batch 0 of epoch 1 .* lower optimiser.learning_rate"
    ):
        run(trainer)


def test_neither_generator_dtype_nor_threads_of_torch_change(
    config: TrainConfig, pair_model: type, tmp_path: Path
) -> None:
    before = (torch.get_rng_state(), torch.get_default_dtype(), torch.get_num_threads())
    run(make(config, pair_model(), tmp_path))
    torch.testing.assert_close(torch.get_rng_state(), before[0])
    assert (torch.get_default_dtype(), torch.get_num_threads()) == before[1:]


def test_a_frame_larger_than_the_budget_is_a_batch_of_its_own(
    config: TrainConfig, pair_model: type, tmp_path: Path
) -> None:
    small = replace(config, optimiser=OptimiserConfig(max_edges=1))
    trainer = run(make(small, pair_model(), tmp_path))
    assert trainer.steps == 4 * len(trainer.learnt.frames)


def test_an_epoch_has_all_new_frames_and_some_old_ones_drawn_anew(
    config: TrainConfig, pair_model: type, tmp_path: Path
) -> None:
    frames = make(config, pair_model(), tmp_path).learnt.frames
    learnt = Learnt(frames[:4], frames[4:], 3)
    names = [[frame.name for frame in learnt.epoch(1, epoch)] for epoch in range(6)]
    new, old = ({frame.name for frame in own} for own in (frames[:4], frames[4:]))
    assert all(len(epoch) == 7 and new <= set(epoch) for epoch in names)
    assert len({frozenset(old & set(epoch)) for epoch in names}) > 1
    assert set().union(*names) - new == old
    assert [frame.name for frame in learnt.epoch(1, 3)] == names[3]
