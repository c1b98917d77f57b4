import pytest
import torch

from ase_symcalc.training.config import OptimiserConfig, ScheduleConfig
from ase_symcalc.training.optimise import AveragedModel, learning_rate, make_optimiser


def test_the_rate_rises_then_falls_to_its_fraction() -> None:
    schedule = ScheduleConfig(epochs=10, warmup_epochs=2.0, final_fraction=0.01)
    rates = [learning_rate(epoch, 0.1, schedule) for epoch in (0.0, 1.0, 2.0, 6.0, 10.0)]
    assert rates == pytest.approx([0.001, 0.05, 0.1, 0.0505, 0.001])


def test_a_schedule_without_warmup_starts_at_the_peak() -> None:
    assert learning_rate(0.0, 0.1, ScheduleConfig(epochs=10, warmup_epochs=0.0)) == 0.1


def test_only_matrices_decay(pair_model: type) -> None:
    groups = make_optimiser(pair_model(), OptimiserConfig(weight_decay=0.1)).param_groups
    decaying = {p.dim() for g in groups if g["weight_decay"] for p in g["params"]}
    spared = {p.dim() for g in groups if not g["weight_decay"] for p in g["params"]}
    assert (decaying, spared) == ({2}, {1})


def test_the_average_follows_and_forgets_its_start(pair_model: type) -> None:
    model = pair_model()
    average = AveragedModel(model, 0.9)
    with torch.no_grad():
        model.matrix.fill_(1.0)
    for step in range(200):
        average.update(model, step)
    torch.testing.assert_close(average.model.matrix, model.matrix)
    assert not average.model.matrix.requires_grad
