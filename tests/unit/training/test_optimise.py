import pytest
import torch

from ase_symcalc.errors import InputError
from ase_symcalc.models import ModelConfig, build_model
from ase_symcalc.training.config import OptimiserConfig, ScheduleConfig
from ase_symcalc.training.optimise import (
    AveragedModel,
    freeze,
    learning_rate,
    make_optimiser,
    n_plateaus,
)


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


def test_elements_and_distances_are_spared_from_decay() -> None:
    model = build_model(ModelConfig(elements=("Cu",), cutoff=3.0, num_layers=1, lmax=0))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = make_optimiser(model, OptimiserConfig(weight_decay=0.1)).param_groups
    decaying = {names[id(p)] for g in groups if g["weight_decay"] for p in g["params"]}
    spared = {names[id(p)] for g in groups if not g["weight_decay"] for p in g["params"]}
    assert decaying | spared == set(names.values())
    assert {"readout_hidden", "layers.0.before.weights.0"} <= decaying
    assert {"embedding", "readout_out", "layers.0.radial.weights.0"} <= spared


def test_a_plateau_is_so_many_epochs_without_a_new_best() -> None:
    assert n_plateaus([], 2) == 0
    assert n_plateaus([3.0, 2.0, 2.5, 1.0], 2) == 0
    assert n_plateaus([3.0, 2.0, 2.5, 2.1], 2) == 1
    assert n_plateaus([1.0] * 7, 2) == 3


def test_each_plateau_halves_the_rate_down_to_its_fraction() -> None:
    schedule = ScheduleConfig(epochs=100, decay="plateau", patience=1, final_fraction=0.2)
    rates = [learning_rate(5.0, 0.1, schedule, [1.0] * n) for n in (1, 2, 3, 4, 9)]
    assert rates == pytest.approx([0.1, 0.05, 0.025, 0.02, 0.02])


def test_what_is_frozen_is_what_begins_so() -> None:
    model = build_model(ModelConfig(elements=("Cu",), cutoff=3.0, num_layers=2, lmax=0))
    freeze(model, ["embedding", "layers.0"])
    frozen = {
        name.split(".weights")[0] for name, p in model.named_parameters() if not p.requires_grad
    }
    assert "embedding" in frozen
    assert "layers.0.radial" in frozen
    assert not any(name.startswith(("layers.1", "readout")) for name in frozen)
    with pytest.raises(InputError, match=r"got 'layer'; there are embedding, .*layers\.1\.own"):
        freeze(model, ["layer"])
    with pytest.raises(InputError, match="leaves no parameter to train"):
        freeze(model, ["layers", "readout_hidden", "readout_out"])


def test_the_average_follows_and_forgets_its_start(pair_model: type) -> None:
    model = pair_model()
    average = AveragedModel(model, 0.9)
    with torch.no_grad():
        model.matrix.fill_(1.0)
    for step in range(200):
        average.update(model, step)
    torch.testing.assert_close(average.model.matrix, model.matrix)
    assert not average.model.matrix.requires_grad
