"""The model of large runs: identities and limits, and bytes that an evaluation asks for."""

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

from ase_symcalc import load_potential
from ase_symcalc.evaluation import evaluate_domain
from tests.ghosts import with_image_ghosts

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def model():
    path = ROOT / "benchmarks" / "scale" / "model.py"
    spec = importlib.util.spec_from_file_location("scale_model", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["scale_model"] = module  # dataclasses look there
    spec.loader.exec_module(module)
    yield module
    del sys.modules["scale_model"]


@pytest.fixture
def cluster(model):
    return model.Cluster(cores=8)


@pytest.fixture
def dynamics(model):
    return model.Dynamics(atom=1e-5, density=0.05, reach=6.0, widths=(288, 288), itemsize=4)


@pytest.fixture
def measured(model):
    return model.Screen(structure=0.05, driver=1e-3, start=3.0)


def test_one_process_exchanges_nothing_and_takes_its_own_time(model, cluster, dynamics, measured):
    assert model.step_seconds(1000, 1, dynamics, cluster) == (1000 * 1e-5, 0.0)
    alone = model.screen_seconds(1000, 1, measured, cluster)
    assert alone == pytest.approx(3 + 1000 * 0.05)


def test_ghosts_of_a_lattice_are_those_that_are_counted(model):
    """Cells of a simple cubic lattice of 1 Å around a cube, reach whole: exact by counting."""
    edge, reach = 6, 2
    counted = (edge + 2 * reach) ** 3 - edge**3
    assert model.ghosts(edge**3, 1.0, reach) == pytest.approx(counted)
    assert model.ghosts(1000, 0.05, 0.0) == pytest.approx(0, abs=1e-9)
    # a large cube has a layer on each of six faces
    n = 1e12
    assert model.ghosts(n, 1.0, 2.0) == pytest.approx(6 * 2.0 * n ** (2 / 3), rel=1e-3)


def test_perfect_machine_scales_perfectly(model, dynamics, measured):
    ideal = model.Cluster(cores=8, crowding=1.0, latency=0.0, bandwidth=np.inf)
    for n in (2, 8, 64):
        compute, exchange = model.step_seconds(1e6, n, dynamics, ideal)
        assert compute == pytest.approx(1e6 * 1e-5 / n)
        assert exchange == 0
        fast = replace(measured, driver=1e-12, start=0.0, task=0)
        assert model.screen_seconds(1e6, n, fast, ideal) == pytest.approx(1e6 * 0.05 / n)


def test_driver_bounds_a_screen_and_shards_lift_the_bound(model, cluster, measured):
    bound = 3 + 1e6 * 1e-3 + 32 * 0.05
    assert model.screen_seconds(1e6, 10**5, measured, cluster) == pytest.approx(bound)
    edge = model.most_workers(measured, cluster)
    assert edge == pytest.approx(0.05 / 1e-3 / cluster.crowding)
    assert model.screen_seconds(1e6, edge, measured, cluster) == pytest.approx(bound)
    assert model.screen_seconds(1e6, 10**5, measured, cluster, 4) < bound / 3


def test_more_processes_are_never_slower_to_compute_nor_more_efficient(model, cluster, dynamics):
    steps = [model.step_seconds(1e6, 8 * k, dynamics, cluster) for k in (1, 2, 4, 8, 16)]
    assert all(np.diff([compute for compute, _ in steps]) < 0)
    shares = [exchange / (compute + exchange) for compute, exchange in steps]
    assert all(np.diff(shares) > 0)
    rows = model.predict(model.Screen(0.05, 1e-3, 3.0), dynamics, cluster)
    assert [row["nodes"] for row in rows] == list(model.NODES)
    assert all(0 < row["efficiency"] <= 1 for row in rows)
    assert model.table(rows).count("\n") == len(rows) + 1


def test_bytes_are_those_that_an_evaluation_asks_for(model):
    potential = load_potential("default", dtype="float32")
    folder = ROOT / "potentials" / "metals-preview"
    widths = model.widths_of(json.loads((folder / "config.json").read_text()))
    ghostly = with_image_ghosts(bulk("Cu", cubic=True), potential.model.cutoff)
    own, received = ghostly.exchange, []

    class Counted:
        def fill(self, rows):
            received.append(np.prod(rows[own.n_centres :].shape) * rows.itemsize)
            own.fill(rows)

        def fold(self, gradient):
            received.append(np.prod(gradient[own.n_centres :].shape) * gradient.itemsize)
            own.fold(gradient)

    evaluate_domain(potential, *ghostly._replace(exchange=Counted()))
    assert len(received) == 2 * len(widths)
    homewards = len(own.owner) * model.HOMEWARDS
    assert sum(received) == model.exchanged(len(own.owner), widths, 4) - homewards


def test_bytes_are_those_that_were_counted_in_lammps(model):
    counted = json.loads((model.RESULTS / "lammps.json").read_text(encoding="utf-8"))
    config = ROOT / "potentials" / counted["potential"] / "config.json"
    widths = model.widths_of(json.loads(config.read_text(encoding="utf-8")))
    for size in counted["sizes"]:
        processes = size["lammps_2"]["of_processes"]
        rows = sum(each["rows_sent"] for each in processes)
        sent = sum(each["bytes_sent"] for each in processes)
        assert sent == model.exchanged(rows, widths, itemsize=4)
