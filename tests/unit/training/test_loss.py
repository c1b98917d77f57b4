from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ase_symcalc.response import Prediction, predict
from ase_symcalc.training.config import DataFile, LossConfig, Weights
from ase_symcalc.training.dataset import Batch, collate, read_frames
from ase_symcalc.training.loss import BatchSize, batch_loss

ONE = BatchSize(energies=1.0, forces=1.0, stresses=1.0)


@pytest.fixture
def batch(data_file: Path) -> Batch:
    return collate(read_frames(DataFile(str(data_file), ":6"), 3.5, ("Cu", "Au"), weights={}))


def exact(batch: Batch) -> Prediction:
    return Prediction(
        energy=batch.energy,
        atomic_energies=torch.zeros(batch.graph.n_atoms),
        forces=batch.forces,
        stress=batch.stress,
    )


def test_a_perfect_prediction_costs_nothing(batch: Batch) -> None:
    assert batch_loss(exact(batch), batch, LossConfig(), Weights(1.0, 1.0, 1.0), ONE) == 0


@pytest.mark.parametrize(("size", "huber", "mse"), [(0.5, 0.125, 0.125), (3.0, 2.5, 4.5)])
def test_errors_are_counted_in_their_scale(
    batch: Batch, size: float, huber: float, mse: float
) -> None:
    config = LossConfig()
    kick = torch.zeros_like(batch.forces)
    kick[0, 1] = size * config.force_scale
    off = replace(exact(batch), forces=batch.forces + kick)
    for kind, expected in (("huber", huber), ("mse", mse)):
        loss = batch_loss(off, batch, replace(config, kind=kind), Weights(5.0, 2.0, 5.0), ONE)
        assert loss.item() == pytest.approx(2 * expected, rel=1e-4)


def test_energies_count_per_atom_and_frames_by_weight(batch: Batch) -> None:
    config = LossConfig(kind="mse")
    off = replace(exact(batch), energy=batch.energy + config.energy_scale * batch.n_atoms)
    doubled = replace(batch, weight=2 * batch.weight)
    once = batch_loss(off, batch, config, Weights(1.0, 1.0, 1.0), BatchSize(6.0, 1.0, 1.0))
    twice = batch_loss(off, doubled, config, Weights(1.0, 1.0, 1.0), BatchSize(6.0, 1.0, 1.0))
    assert once.item() == pytest.approx(0.5, rel=1e-4)
    assert twice.item() == pytest.approx(1.0, rel=1e-4)


def test_a_missing_stress_costs_nothing(batch: Batch) -> None:
    off = replace(exact(batch), stress=batch.stress + (1 - batch.has_stress)[:, None, None])
    assert batch_loss(off, batch, LossConfig(), Weights(1.0, 1.0, 1.0), ONE) == 0


def test_missing_energies_and_forces_cost_nothing_and_are_not_counted(data_file: Path) -> None:
    frames = read_frames(DataFile(str(data_file), ":6"), 3.5, ("Cu", "Au"), weights={})
    frames[1] = replace(frames[1], energy=None)
    frames[2] = replace(frames[2], forces=None)
    batch = collate(frames)
    off = replace(
        exact(batch),
        energy=batch.energy + (1 - batch.has_energy),
        forces=batch.forces + (1 - batch.has_forces)[batch.graph.structure_index, None],
    )
    assert batch_loss(off, batch, LossConfig(), Weights(1.0, 1.0, 1.0), ONE) == 0
    size = BatchSize.average(frames, 10**6)
    n_atoms = sum(frame.graph.n_atoms for frame in frames)
    assert (size.energies, size.forces) == (5, n_atoms - frames[2].graph.n_atoms)


@pytest.mark.parametrize("kind", ["huber", "mse"])
def test_the_gradient_is_finite_and_reaches_every_weight(
    batch: Batch, pair_model: type, kind: str
) -> None:
    model = pair_model()
    prediction = predict(model, batch.graph, create_graph=True)
    batch_loss(prediction, batch, LossConfig(kind=kind), Weights(1.0, 1.0, 1.0), ONE).backward()
    for weight in model.parameters():
        assert torch.isfinite(weight.grad).all()
        assert weight.grad.abs().sum() > 0


def test_no_gradient_is_lost_when_the_prediction_is_exact(batch: Batch, pair_model: type) -> None:
    model = pair_model()
    own = predict(model, batch.graph)
    perfect = replace(batch, energy=own.energy, forces=own.forces, stress=own.stress)
    prediction = predict(model, batch.graph, create_graph=True)
    batch_loss(prediction, perfect, LossConfig(), Weights(1.0, 1.0, 1.0), ONE).backward()
    assert all(torch.isfinite(weight.grad).all() for weight in model.parameters())


def test_an_unknown_pressure_costs_nothing(batch: Batch) -> None:
    pressure = 0.3 * torch.eye(3) * batch.has_stress[:, None, None]
    off = replace(exact(batch), stress=batch.stress + pressure)
    weights = Weights(1.0, 1.0, 1.0)
    assert batch_loss(off, batch, LossConfig(), weights, ONE) > 0.1
    deviatoric = replace(batch, deviatoric=torch.ones_like(batch.deviatoric))
    assert batch_loss(off, deviatoric, LossConfig(), weights, ONE) < 1e-6
