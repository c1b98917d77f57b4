"""Levels of theory on one body."""

import copy
from dataclasses import replace

import pytest
import torch
from ase.build import bulk

from ase_symcalc.errors import InputError
from ase_symcalc.models import ModelConfig, build_model
from ase_symcalc.models.heads import OWN, build_heads, cut_head, join_heads
from ase_symcalc.response import predict
from ase_symcalc.structures import build_graph

SINGLE = ModelConfig(elements=("Si", "Cu"), cutoff=3.0, num_layers=2, num_channels=4, lmax=1)
CONFIG = replace(SINGLE, heads=("pbe", "r2SCAN"))


@pytest.fixture
def heads():
    heads = build_heads(CONFIG, seed=2)
    with torch.no_grad():
        heads["r2SCAN"].readout_out.mul_(2)
    return heads


def test_without_heads_there_is_one_network_as_ever():
    heads = build_heads(SINGLE, seed=2)
    assert heads.names == ("",)
    torch.testing.assert_close(heads[""].state_dict(), build_model(SINGLE, seed=2).state_dict())
    assert "heads" not in SINGLE.to_dict()
    assert ModelConfig.from_dict(CONFIG.to_dict()) == CONFIG


def test_heads_share_every_weight_but_their_own(heads):
    a, b = (dict(heads[name].named_parameters()) for name in heads.names)
    shared = {name for name in a if a[name] is b[name]}
    assert set(a) - shared == set(OWN) & set(a)
    n_own = sum(a[name].numel() for name in set(a) - shared)
    n_all = sum(parameter.numel() for parameter in heads.parameters())
    assert n_all == sum(parameter.numel() for parameter in a.values()) + n_own


@pytest.mark.parametrize("change", [copy.deepcopy, lambda heads: heads.to(torch.float64)])
def test_a_copy_or_another_dtype_still_shares(heads, change):
    changed = change(heads)
    assert changed["pbe"].embedding is changed["r2SCAN"].embedding
    assert changed["pbe"].layers[0] is changed["r2SCAN"].layers[0]


def test_a_head_that_is_cut_out_is_a_network_by_itself(heads):
    joined = join_heads(heads)
    assert sum(key.endswith("readout_out") for key in joined) == 2
    assert "layers.0.before.weights.0" in joined
    graph = build_graph(bulk("Si"), 3.0, dtype=torch.float32)
    energies = []
    for name in heads.names:
        alone = build_model(SINGLE, seed=9)
        alone.load_state_dict(cut_head(joined, name, heads.names))
        energies.append(float(predict(alone, graph, derivatives=False).energy))
        assert energies[-1] == float(predict(heads[name], graph, derivatives=False).energy)
    assert energies[1] == pytest.approx(2 * energies[0], rel=1e-5)


def test_one_network_does_not_take_heads():
    with pytest.raises(InputError, match="build_heads makes a network for each"):
        build_model(CONFIG)


@pytest.mark.parametrize(
    ("names", "words"), [(("a", "a"), "named once each"), (("a@b",), "letters and digits")]
)
def test_heads_need_names_of_their_own(names, words):
    with pytest.raises(InputError, match=words):
        replace(SINGLE, heads=names)
