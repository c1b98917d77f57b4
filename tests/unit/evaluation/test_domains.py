"""Atoms of one process, with those of others as ghosts, against the whole by `SymCalc`."""

from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

from ase_symcalc import SymCalc, load_potential
from ase_symcalc.errors import InputError, NumericalError, UnsupportedElementError
from ase_symcalc.evaluation import evaluate_domain
from tests.ghosts import with_image_ghosts
from tests.tolerances import TIGHT
from tests.zoo import zoo

FILES = Path(__file__).parents[2] / "regression"
POTENTIALS = {
    "metals-preview": "Si",
    "pbe16": "Si",
    FILES / "nequip/natural.ckpt": None,
    FILES / "mace/density.model": None,
}


@pytest.mark.parametrize(("name", "symbol"), POTENTIALS.items(), ids=map(str, range(4)))
def test_ghosts_change_nothing(name, symbol):
    potential = load_potential(name)
    atoms = bulk(symbol or potential.model.elements[0], "diamond", a=5.43)
    atoms.rattle(0.05, seed=1)
    if symbol is None:
        atoms.symbols[1] = potential.model.elements[-1]
    same(potential, atoms)


@pytest.mark.parametrize("name", zoo())
def test_any_boundary_will_do(potential, name):
    same(potential, zoo()[name])


def same(potential, atoms):
    seen = with_image_ghosts(atoms, potential.model.cutoff)
    energies, gradient = evaluate_domain(potential, *seen)
    n = potential.model.num_layers - 1
    assert seen.exchange.calls == n * "+" + n * "-"
    atoms.calc = SymCalc(potential, symmetry="off")
    np.testing.assert_allclose(energies, atoms.get_potential_energies(), rtol=0, atol=TIGHT)
    np.testing.assert_allclose(seen.forces(gradient), atoms.get_forces(), rtol=0, atol=TIGHT)
    if atoms.pbc.all():
        virial = np.einsum("ea,eb->ab", seen.edge_vectors, gradient) / atoms.get_volume()
        np.testing.assert_allclose(virial, atoms.get_stress(voigt=False), rtol=0, atol=TIGHT)


def test_edges_in_any_order_and_too_long_ones(potential):
    seen = with_image_ghosts(bulk("Ge", a=5.78), potential.model.cutoff + 1)
    exact = with_image_ghosts(bulk("Ge", a=5.78), potential.model.cutoff)
    assert len(seen.centre) > len(exact.centre)
    expected = evaluate_domain(potential, *exact)
    order = np.random.default_rng(2).permutation(len(seen.centre))
    given = [array[order] for array in seen[:3]]
    for array in given:
        array.flags.writeable = False
    energies, gradient = evaluate_domain(potential, *given, *seen[3:])
    np.testing.assert_allclose(energies, expected.atomic_energies, rtol=1e-13)
    back = np.empty_like(gradient)
    back[order] = gradient
    np.testing.assert_allclose(
        seen.forces(back), exact.forces(expected.gradient), rtol=0, atol=TIGHT
    )
    far = np.linalg.norm(given[0], axis=1) > potential.model.cutoff
    assert far.any()
    assert not gradient[far].any()


def test_torch_does_the_same(potential, monkeypatch):
    from ase_symcalc.inference import network

    seen = with_image_ghosts(bulk("Si", a=5.47), potential.model.cutoff)
    compiled = evaluate_domain(potential, *seen)
    monkeypatch.setattr(network, "compile_network", lambda model, dtype: None)
    monkeypatch.setattr(network, "_made", {})
    by_torch = evaluate_domain(potential, *seen)
    for one, other in zip(compiled, by_torch, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=TIGHT)


def test_energies_alone(potential):
    seen = with_image_ghosts(bulk("Si", a=5.47), potential.model.cutoff)
    energies, gradient = evaluate_domain(potential, *seen, derivatives=False)
    assert gradient is None
    assert seen.exchange.calls == "+"
    assert (energies == evaluate_domain(potential, *seen).atomic_energies).all()


def test_weights_choose_the_energies_that_count(potential):
    """With enough ghosts as centres no exchange is needed: their energies have no weight."""
    atoms = bulk("Cu", a=3.62, cubic=True)
    atoms.rattle(0.05, seed=2)
    atoms.calc = SymCalc(potential)
    whole = atoms * (5, 5, 5)
    near = np.argsort(np.linalg.norm(whole.positions - whole.positions.mean(axis=0), axis=1))
    middle = near[0]
    weights = np.zeros(len(whole))
    weights[middle] = 1
    seen = with_image_ghosts(Atoms(whole.symbols, whole.positions), potential.model.cutoff)
    energies, gradient = evaluate_domain(potential, *seen[:5], weights=weights)
    expected = atoms.get_potential_energies()[middle % 4]
    assert energies[middle] == pytest.approx(expected, abs=TIGHT)
    assert abs(seen.forces(gradient)).max() > 0
    assert abs(seen.forces(gradient).sum(axis=0)).max() < TIGHT


class Nobody:
    """An exchange in which nobody has anything for anyone."""

    calls = 0

    def fill(self, rows):
        self.calls += 1

    def fold(self, gradient):
        self.calls += 1


def test_a_process_without_atoms_takes_part(potential):
    nothing, exchange = np.zeros(0, dtype=np.int64), Nobody()
    energies, gradient = evaluate_domain(
        potential, np.zeros((0, 3)), nothing, nothing, nothing, 0, exchange
    )
    assert (energies.shape, gradient.shape, exchange.calls) == ((0,), (0, 3), 2)


def arguments(**changed):
    given = {
        "edge_vectors": np.array([[2.4, 0, 0], [-2.4, 0, 0]]),
        "centre": np.array([0, 1]),
        "neighbour": np.array([1, 0]),
        "atomic_numbers": np.array([14, 14]),
        "n_centres": 2,
    }
    return given | changed


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"n_centres": 3}, "got 3"),
        ({"n_centres": 1, "exchange": Nobody()}, "entries of centre from 0 to 0"),
        ({"neighbour": np.array([1, 2])}, "entries of neighbour from 0 to 1"),
        ({"edge_vectors": np.array([[np.nan, 0, 0], [-2.4, 0, 0]])}, "finite edge vectors"),
        ({"edge_vectors": np.array([[0.01, 0, 0], [-0.01, 0, 0]])}, "0.01 Å apart"),
        ({"atomic_numbers": np.array([14, 14, 14])}, "expected an exchange"),
    ],
)
def test_what_has_no_meaning_is_refused(potential, changed, words):
    with pytest.raises(InputError, match=words):
        evaluate_domain(potential, **arguments(**changed))


def test_arrays_that_do_not_fit_are_refused(potential):
    with pytest.raises((InputError, TypeError), match="centre"):  # the latter by annotations
        evaluate_domain(potential, **arguments(centre=np.array([0])))


def test_an_unknown_element_is_named(potential):
    with pytest.raises(UnsupportedElementError, match="He; it knows"):
        evaluate_domain(potential, **arguments(atomic_numbers=np.array([14, 2])))


def test_numbers_that_overflow_are_refused(potential_folder):
    potential = load_potential(potential_folder)
    with torch.no_grad():
        potential.model.scale.fill_(np.inf)
    with pytest.raises(NumericalError, match="outside"):
        evaluate_domain(potential, **arguments())
