"""Rows of other processes: here periodic images, which their atoms fill and take back."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ase_symcalc import load_potential
from ase_symcalc.inference import Surroundings
from ase_symcalc.inference.build import compile_network
from ase_symcalc.inference.torch_network import TorchNetwork
from ase_symcalc.models import ModelConfig, build_model
from ase_symcalc.nn.tabulated import TabulatedFunctions
from tests.ghosts import Copies

FILES = Path(__file__).parents[2] / "regression"
MODELS = ("1 layer", "2 layers", "3 layers", "nequip/natural.ckpt", "mace/density.model")
CPU = torch.device("cpu")


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    name = request.param
    if "layer" in name:
        return own_model(int(name[0]))
    found = load_potential(FILES / name, dtype="float32").model.double()
    for part in found.modules():
        if isinstance(part, TabulatedFunctions):
            part.exact = ()
    return found


def own_model(num_layers):
    torch.manual_seed(1)
    config = ModelConfig(elements=("H", "O", "Si"), cutoff=3.5, num_channels=4, lmax=2,
                         num_layers=num_layers, repulsion_radii=(1.0, 1.2, 1.3))  # fmt: skip
    return build_model(config).double().requires_grad_(False)


def network_of(kind, model):
    if kind == "torch":
        return TorchNetwork(model, torch.float64, CPU)
    return compile_network(model, torch.float64)


@pytest.fixture(params=["compiled", "torch"])
def network(request, model):
    return network_of(request.param, model)


def with_ghosts(seen, chosen):
    """Let chosen edges end at ghosts."""
    owner, ghost = np.unique(seen.neighbour[chosen], return_inverse=True)
    neighbour = seen.neighbour.copy()
    neighbour[chosen] = seen.n_centres + ghost
    numbers = np.concatenate([seen.atomic_numbers, seen.atomic_numbers[owner]])
    return replace(
        seen,
        neighbour=neighbour,
        atomic_numbers=numbers,
        exchange=Copies(seen.n_centres, owner),
    )


def surroundings(model, n, seed=0):
    rng = np.random.default_rng(seed)
    centre, neighbour = np.divmod(np.flatnonzero(rng.random(n * n) < 0.7), n)
    vectors = rng.normal(size=(len(centre), 3))
    vectors *= rng.uniform(0.9, 3.4, (len(centre), 1)) / np.linalg.norm(vectors, axis=1)[:, None]
    known = np.flatnonzero((model.species_of >= 0).numpy())
    return Surroundings(vectors, centre, neighbour, known[np.arange(n) % len(known)], n)


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_ghosts_change_nothing(model, network, share):
    seen, weights = surroundings(model, 9), np.linspace(1, 2, 9)
    chosen = np.random.default_rng(5).random(len(seen.centre)) < share
    expected, slope = network(seen, weights)
    ghostly = with_ghosts(seen, chosen)
    energies, gradient = network(ghostly, weights)
    np.testing.assert_allclose(energies, expected, rtol=1e-12)
    np.testing.assert_allclose(gradient, slope, rtol=0, atol=1e-11 * abs(slope).max())
    n = model.num_layers - 1
    assert ghostly.exchange.calls == n * "+" + n * "-"
    alone, _ = network(ghostly, derivatives=False)
    np.testing.assert_array_equal(alone, energies)
    assert ghostly.exchange.calls == n * "+" + n * "-" + n * "+"


@pytest.mark.parametrize(("n", "n_ghosts"), [(0, 0), (0, 3), (3, 0), (3, 2)])
def test_every_process_meets_in_the_same_calls(model, network, n, n_ghosts):
    nothing = np.zeros(0, dtype=np.int64)
    numbers = np.full(n + n_ghosts, np.flatnonzero((model.species_of >= 0).numpy())[0])
    exchange = Silent(n, n_ghosts)
    seen = Surroundings(np.zeros((0, 3)), nothing, nothing, numbers, n, exchange=exchange)
    with torch.no_grad():  # a caller's
        energies, gradient = network(seen)
    assert (energies.shape, gradient.shape) == ((n,), (0, 3))
    n_layers = model.num_layers - 1
    assert exchange.calls == n_layers * "+" + n_layers * "-"


class Silent:
    """Counts calls, and finds no gradient behind the centres."""

    def __init__(self, n_centres, n_ghosts):
        self.shape, self.n_centres, self.calls = (n_centres + n_ghosts), n_centres, ""

    def fill(self, rows):
        assert len(rows) == self.shape
        rows[self.n_centres :] = 1
        self.calls += "+"

    def fold(self, gradient):
        assert len(gradient) == self.shape
        assert not gradient[self.n_centres :].any()
        self.calls += "-"


def test_the_exchange_of_each_call_is_asked(model, network):
    seen = surroundings(model, 6)
    chosen = np.arange(len(seen.centre)) % 2 == 0
    first, second = with_ghosts(seen, chosen), with_ghosts(seen, chosen)
    one, other = network(first), network(second)
    np.testing.assert_array_equal(one[1], other[1])
    assert first.exchange.calls == second.exchange.calls


def test_plans_are_kept_whoever_exchanges():
    model = own_model(2)
    network, seen = compile_network(model, torch.float64), surroundings(model, 6)
    for _ in range(3):
        network(with_ghosts(seen, slice(None)))
    assert len(network.plans) == 1
    network(seen)
    assert len(network.plans) == 2


def test_threads_and_single_precision(model):
    seen = surroundings(model, 60)
    ghostly = with_ghosts(seen, np.arange(len(seen.centre)) % 3 == 0)
    compiled = compile_network(model, torch.float32)
    expected = compiled(seen)
    torch.set_num_threads(2)
    try:
        found = compiled(ghostly)
    finally:
        torch.set_num_threads(1)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found[1], expected[1], rtol=0, atol=1e-4 * abs(expected[1]).max())


@pytest.mark.parametrize("kind", ["compiled", "torch"])
def test_an_exchange_that_fails_ends_the_evaluation(kind):
    model = own_model(2)
    network = network_of(kind, model)
    seen = with_ghosts(surroundings(model, 6), slice(None))
    seen.exchange.fold = lambda gradient: 1 / 0
    with pytest.raises(ZeroDivisionError):
        network(seen)
    del seen.exchange.fold
    assert np.isfinite(network(seen)[1]).all()
