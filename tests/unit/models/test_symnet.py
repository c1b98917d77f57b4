"""The network: what it promises whatever its weights."""

import math

import pytest
import torch
from ase import Atoms
from e3nn.o3 import rand_matrix

from ase_symcalc.errors import InputError
from ase_symcalc.graph import Environments
from ase_symcalc.models import ModelConfig, build_model
from ase_symcalc.models.repulsion import Repulsion
from ase_symcalc.response import predict
from ase_symcalc.structures import build_graph
from tests.zoo import zoo

CONFIG = ModelConfig(
    elements=("Si", "Cu"), cutoff=4.0, num_channels=4, num_layers=2, repulsion_radii=(1.1, 1.3)
)


def test_a_configuration_survives_json():
    assert ModelConfig.from_dict(CONFIG.to_dict()) == CONFIG


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"num_layers": 0}, "num_layers must be at least 1; got 0"),
        ({"sh_lmax": -1}, "sh_lmax must be at least 0; got -1"),
        ({"cutoff": -1.0}, "must be positive"),
        ({"elements": ("Si", "Si")}, "named once each"),
        ({"repulsion_radii": (1.0,)}, "a repulsion radius for each of 2 elements; got 1"),
        ({"repulsion_radii": (1.0, 2.1)}, "at most half the cutoff"),
        ({"colour": "red"}, r"unknown keys \['colour'\]"),
    ],
)
def test_a_configuration_without_meaning_is_refused(change, words):
    with pytest.raises(InputError, match=words):
        ModelConfig.from_dict(CONFIG.to_dict() | change)


def test_an_incomplete_configuration_says_what_is_missing():
    with pytest.raises(InputError, match="cutoff"):
        ModelConfig.from_dict({"elements": ["Si"]})


def test_an_unknown_symbol_is_refused():
    with pytest.raises(InputError, match="got 'Qq'"):
        build_model(ModelConfig(elements=("Qq",), cutoff=4.0))


def test_building_leaves_the_generator_of_torch_alone():
    state = torch.random.get_rng_state()
    first, second = build_model(CONFIG, seed=3), build_model(CONFIG, seed=3)
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(
        torch.equal(p, q) for p, q in zip(first.parameters(), second.parameters(), strict=True)
    )


def test_a_lone_atom_feels_nothing():
    model = build_model(CONFIG).double()
    alone = Atoms("Cu", positions=[(1.0, 2.0, 3.0)])
    prediction = predict(model, build_graph(alone, CONFIG.cutoff))
    assert not prediction.forces.any()
    model.set_baseline(torch.tensor([-1.5, -2.5]), 1.0)
    lowered = predict(model, build_graph(alone, CONFIG.cutoff))
    assert lowered.energy.item() == pytest.approx(prediction.energy.item() - 2.5)


def test_extra_rows_that_no_edge_touches_change_nothing():
    model = build_model(CONFIG).double()
    graph = build_graph(zoo()["si_diamond_primitive"], CONFIG.cutoff)
    plain = Environments.of(graph)
    padded = Environments(
        edge_vectors=plain.edge_vectors,
        centre=plain.centre,
        neighbour=plain.neighbour,
        atomic_numbers=torch.cat([plain.atomic_numbers, torch.tensor([29])]),
        n_centres=plain.n_centres,
        expand=lambda features, irreps: torch.cat([features, torch.ones_like(features[:1])]),
    )
    torch.testing.assert_close(model(plain), model(padded), rtol=0, atol=0)


def test_energies_do_not_depend_on_the_orientation():
    model = build_model(CONFIG).double()
    environments = Environments.of(build_graph(zoo()["si_diamond_primitive"], CONFIG.cutoff))
    for matrix in (rand_matrix(dtype=torch.float64), -torch.eye(3, dtype=torch.float64)):
        turned = Environments(
            edge_vectors=environments.edge_vectors @ matrix.T,
            centre=environments.centre,
            neighbour=environments.neighbour,
            atomic_numbers=environments.atomic_numbers,
            n_centres=environments.n_centres,
        )
        torch.testing.assert_close(model(turned), model(environments), rtol=1e-12, atol=1e-12)


def test_repulsion_is_that_of_ziegler_biersack_and_littmark():
    repulsion = Repulsion((2, 28), (50.0, 50.0))
    r = torch.tensor([0.5, 0.5], dtype=torch.float64)
    ends = torch.tensor([0, 1])
    energy = repulsion(r, torch.tensor([0, 1]), ends, ends.flip(0), 2).sum().item()
    x = 0.5 * (2**0.23 + 28**0.23) / (0.8854 * 0.529177)
    terms = ((0.18175, 3.1998), (0.50986, 0.94229), (0.28022, 0.4029), (0.02817, 0.20162))
    phi = sum(c * math.e ** (-d * x) for c, d in terms)
    assert energy == pytest.approx(14.3996 * 56 / 0.5 * phi, rel=1e-5)
