"""`predict`: what it returns, and what it leaves alone."""

import pytest
import torch

from ase_symcalc.models import ModelConfig, build_model
from ase_symcalc.response import predict
from ase_symcalc.structures import build_graph
from tests.zoo import zoo


@pytest.fixture(scope="module")
def model():
    config = ModelConfig(elements=("Si", "Ge", "Mo"), cutoff=4.0, num_channels=4, num_layers=2)
    return build_model(config).double().requires_grad_(False)


@pytest.fixture
def graph():
    return build_graph(zoo()["si_diamond_primitive"], 4.0)


def test_results_hold_no_graph_unless_asked_for(model, graph):
    plain = predict(model, graph)
    parts = (plain.energy, plain.atomic_energies, plain.forces, plain.stress, plain.stresses)
    assert not any(part.requires_grad for part in parts)
    assert predict(model, graph, create_graph=True).forces.requires_grad


def test_the_energy_alone_takes_no_backward_pass(model, graph):
    alone = predict(model, graph, derivatives=False)
    assert alone.forces is alone.stress is alone.stresses is None
    assert torch.equal(alone.energy, predict(model, graph).energy)


def test_a_caller_may_have_switched_gradients_off(model, graph):
    expected = predict(model, graph).forces
    with torch.no_grad():
        assert torch.equal(predict(model, graph).forces, expected)
        assert not torch.is_grad_enabled()


def test_stresses_sum_to_the_symmetric_stress(model):
    graph = build_graph([zoo()["ge_rattled_supercell"], zoo()["si_diamond_primitive"]], 4.0)
    prediction = predict(model, graph)
    summed = torch.zeros(2, 3, 3, dtype=torch.float64)
    summed = summed.index_add(0, graph.structure_index, prediction.stresses)
    torch.testing.assert_close(summed, prediction.stress, rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(prediction.stress, prediction.stress.transpose(1, 2))


def test_a_cell_without_volume_has_no_stress(model):
    graph = build_graph(zoo()["mo_isolated"], 4.0)
    prediction = predict(model, graph)
    assert prediction.stress.isnan().all()
    assert not prediction.forces.any()
