"""Compiled networks against the same models run by torch."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms

from ase_symcalc import load_potential
from ase_symcalc.inference import Surroundings, network_of, pair_tables
from ase_symcalc.inference.build import compile_network
from ase_symcalc.inference.memory import Pile
from ase_symcalc.inference.pair_list import edges_within
from ase_symcalc.inference.torch_network import TorchNetwork
from ase_symcalc.models import ModelConfig, build_model
from ase_symcalc.nn.tabulated import TabulatedFunctions
from ase_symcalc.structures import from_ase, neighbour_pairs

FILES = Path(__file__).parents[2] / "regression"
MODELS = {
    "symnet": None,
    "nequip": "nequip/natural.ckpt",
    "nequip, odd parity": "nequip/parity.ckpt",
    "sevennet": "sevennet/no_parity.pth",
    "sevennet, odd parity": "sevennet/parity.pth",
    "sevennet, other activations": "sevennet/other_settings.pth",
    "mace": "mace/agnostic.model",
    "mace, density": "mace/density.model",
    "mace, soft transform": "mace/soft.model",
    "mace, one layer": "mace/one_layer.model",
}
CPU = torch.device("cpu")


@pytest.fixture(scope="module", params=MODELS, ids=str)
def model(request):
    """A model whose radial functions are splines, in float64 too."""
    if MODELS[request.param] is None:
        torch.manual_seed(1)
        radii = (1.0, 1.2, 1.3)
        config = ModelConfig(elements=("H", "O", "Si"), cutoff=3.5, num_channels=8, lmax=2,
                             num_layers=3, repulsion_radii=radii)  # fmt: skip
        found = build_model(config)
        found.set_baseline(torch.tensor([-1.0, -2.0, -3.0]), 0.7)
    else:
        found = load_potential(FILES / MODELS[request.param], dtype="float32").model
    for part in found.modules():
        if isinstance(part, TabulatedFunctions):
            part.exact = ()
    return found.double().requires_grad_(False)


def surroundings(model, n, seed=0, room=2.1):
    rng = np.random.default_rng(seed)
    symbols = [model.elements[k % len(model.elements)] for k in range(n)]
    size = room * max(n, 2) ** (1 / 3)
    atoms = Atoms(symbols, rng.uniform(0, size, (n, 3)), cell=[size] * 3, pbc=n > 2)
    arrays = from_ase(atoms)
    pairs = neighbour_pairs(arrays.positions, arrays.cell, arrays.pbc, model.cutoff)
    indices = (pairs.centre, pairs.neighbour, pairs.unit_shifts)
    edges = edges_within(indices, arrays.positions, arrays.cell, model.cutoff)
    return Surroundings(*edges, arrays.atomic_numbers, n)


@pytest.mark.parametrize("n", [1, 2, 30])
def test_compiled_is_what_torch_makes_of_the_model(model, n):
    seen, weights = surroundings(model, n), np.linspace(1, 2, n)
    network = compile_network(model, torch.float64)
    energies, gradient = network(seen, weights)
    expected, slope = TorchNetwork(model, torch.float64, CPU)(seen, weights)
    np.testing.assert_allclose(energies, expected, rtol=1e-12)
    np.testing.assert_allclose(
        gradient, slope, rtol=0, atol=1e-11 * (1 + abs(slope).max(initial=0))
    )
    alone, nothing = network(seen, derivatives=False)
    np.testing.assert_array_equal(alone, energies)
    assert nothing is None


def test_single_precision_is_near(model):
    seen = surroundings(model, 30)
    single = compile_network(model, torch.float32)
    energies, gradient = single(seen)
    expected, slope = compile_network(model, torch.float64)(seen)
    np.testing.assert_allclose(energies, expected, atol=1e-5 * abs(expected).max())
    np.testing.assert_allclose(gradient, slope, atol=2e-5 * abs(slope).max())


def test_the_same_bits_from_one_thread_and_two(model):
    seen = surroundings(model, 200)
    network = compile_network(model, torch.float32)
    once = network(seen)
    torch.set_num_threads(2)
    try:
        again = network(seen)
    finally:
        torch.set_num_threads(1)
    for one, other in zip(once, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_plan_serves_structures_that_are_alike(model):
    """Other edges, more of them than there was room for, and calls from several threads."""
    sparse, dense = surroundings(model, 30), surroundings(model, 30, seed=2, room=1.4)
    again = surroundings(model, 30, seed=3)
    assert len(dense.centre) > 1.2 * len(sparse.centre)
    network = compile_network(model, torch.float64)
    expected = [compile_network(model, torch.float64)(seen) for seen in (sparse, dense, again)]
    with ThreadPoolExecutor(3) as pool:
        for _ in range(3):
            for found, other in zip(
                pool.map(network, (sparse, dense, again)), expected, strict=True
            ):
                for one, two in zip(found, other, strict=True):
                    np.testing.assert_array_equal(one, two)


def test_plans_of_many_structures_are_not_all_kept(model):
    network = compile_network(model, torch.float32)
    for n in range(1, 12):
        network(surroundings(model, n), derivatives=False)
    assert len(network.plans) < 11


def test_a_changed_weight_is_seen():
    model = build_model(ModelConfig(elements=("H", "O"), cutoff=3.0, num_channels=4)).double()
    model.requires_grad_(False)
    seen = surroundings(model, 5)
    network = network_of(model, torch.float64, CPU)
    before, _ = network(seen)
    assert network_of(model, torch.float64, CPU) is network
    model.scale.mul_(2)
    after, _ = network_of(model, torch.float64, CPU)(seen)
    np.testing.assert_allclose(after, 2 * before)


def test_float64_has_fine_splines_of_its_own():
    model = load_potential(FILES / "sevennet" / "no_parity.pth").model  # with a break of slope
    seen = surroundings(model, 30)
    energies, gradient = compile_network(model, torch.float64)(seen)
    expected, slope = TorchNetwork(model, torch.float64, CPU)(seen)  # exact
    np.testing.assert_allclose(energies, expected, rtol=1e-12)
    np.testing.assert_allclose(gradient, slope, rtol=0, atol=1e-10 * abs(slope).max())


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_structure_of_very_many_elements_needs_no_tables(dtype, monkeypatch):
    model = load_potential(FILES / MODELS["mace, density"], dtype=dtype).model
    seen, precision = surroundings(model, 12), getattr(torch, dtype)
    expected = compile_network(model, precision)(seen)
    monkeypatch.setattr(pair_tables, "MOST_BYTES", 0)
    sparing = compile_network(model, precision)
    alone = surroundings(model, 1)
    assert not sparing._network.tables.has_room_for(model.species_of.numpy()[seen.atomic_numbers])
    assert sparing._network.tables.has_room_for(model.species_of.numpy()[alone.atomic_numbers])
    for found, other in zip(sparing(seen), expected, strict=True):
        np.testing.assert_allclose(found, other, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(sparing(alone)[0], compile_network(model, precision)(alone)[0])
    assert not sparing._network.tables._tables or len(sparing._network.tables._tables[0]) < 2000


def test_a_weight_that_a_fused_optimiser_changed_is_seen():
    model = build_model(ModelConfig(elements=("H", "O"), cutoff=3.0, num_channels=4)).double()
    seen = surroundings(model, 5)
    before, _ = network_of(model, torch.float64, CPU)(seen)
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.01, fused=True)
    for weight in model.parameters():
        weight.grad = torch.ones_like(weight)
    optimiser.step()
    after, _ = network_of(model, torch.float64, CPU)(seen)
    assert abs(after - before).max() > 1e-6
    model.requires_grad_(False)
    frozen, _ = network_of(model, torch.float64, CPU)(seen)
    np.testing.assert_allclose(frozen, after)


def test_memory_is_used_again():
    pile = Pile()
    with pile.borrowed():
        first = pile.take(100)
        with pile.borrowed():
            inner = pile.take(1000)
        assert pile.take(10) == inner
        array, address = pile.array((3, 5), np.float64)
        assert array.ctypes.data == address
        assert address % 64 == 0
        pile.take(5_000_000)  # beyond the first block
    with pile.borrowed():
        whole, _ = pile.array((700_000,), np.float64)  # one block holds it now
        whole[:] = 1
    assert first % 64 == 0
