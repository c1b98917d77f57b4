"""Evaluating one atom of each orbit gives what evaluating all of them gives."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import units
from ase.build import bulk
from ase.filters import FrechetCellFilter
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS, FIRE
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ase_symcalc import SymCalc, evaluate
from ase_symcalc.graph import Environments
from ase_symcalc.models import build_model
from ase_symcalc.models.mace_config import MACEConfig
from ase_symcalc.models.nequip_config import NequIPConfig
from ase_symcalc.symmetry import memory
from ase_symcalc.symmetry.expand import RotatedImages, Rotations
from ase_symcalc.symmetry.operations import find_operations
from tests import symmetry_zoo
from tests.conftest import CUTOFF, ELEMENTS

ENERGY, FORCE, STRESS = 1e-9, 1e-8, 1e-9  # eV/atom, eV/Å, eV/Å³


@pytest.fixture(scope="module")
def handed(potential):
    """A network without parity: a structure and its mirror image differ."""
    config = NequIPConfig(
        elements=ELEMENTS,
        cutoff=CUTOFF,
        irreps=("4x0e", "4x0e+4x1e+2x2e", "4x0e+3x1e", "4x0e"),
        sh_lmax=2,
        parity=False,
        num_bessel=4,
        radial_widths=(8,),
        connections=("species", "species", "shared"),
    )
    model = build_model(config, seed=3).to(potential.dtype).requires_grad_(False).eval()
    model.scale.fill_(10.0)
    return replace(potential, model=model)


@pytest.fixture(scope="module", params=["O3", "SO3"])
def either(request, potential, handed):
    return handed if request.param == "SO3" else potential


def assert_same(result, expected, n_atoms):
    assert abs(result.energy - expected.energy) < ENERGY * n_atoms
    np.testing.assert_allclose(
        result.atomic_energies, expected.atomic_energies, rtol=0, atol=ENERGY
    )
    np.testing.assert_allclose(result.forces, expected.forces, rtol=0, atol=FORCE)
    assert (result.stress is None) == (expected.stress is None)
    if expected.stress is not None:
        np.testing.assert_allclose(result.stress, expected.stress, rtol=0, atol=STRESS)
        np.testing.assert_allclose(result.stresses, expected.stresses, rtol=0, atol=STRESS)
        np.testing.assert_allclose(result.stresses.sum(axis=0), result.stress, atol=1e-12)


def assert_reduced_equals_full(atoms, potential):
    full, reduced = (evaluate(atoms, potential, symmetry=s)[0] for s in ("off", "auto"))
    assert_same(reduced, full, len(atoms))


@pytest.mark.parametrize("system", symmetry_zoo.SYSTEMS)
def test_crystals_of_every_space_group(either, system):
    for number in symmetry_zoo.SYSTEMS[system]:
        assert_reduced_equals_full(symmetry_zoo.of_group(number), either)


@pytest.mark.parametrize("number", [1, 15, 36, 92, 136, 152, 186, 205, 220, 229])
def test_networks_of_the_other_family(potential, number):
    config = MACEConfig(
        elements=ELEMENTS,
        cutoff=CUTOFF,
        hidden_irreps="3x0e+3x1o+3x2e",
        sh_lmax=2,
        num_bessel=4,
        radial_widths=(8,),
        correlation=(3, 2, 1),
        residual=(False, True, True),
        density=(False, False, False),
        readouts=(0, 0, 4),
        avg_num_neighbours=20.0,
    )
    model = build_model(config, seed=1).to(potential.dtype).requires_grad_(False).eval()
    assert_reduced_equals_full(symmetry_zoo.of_group(number), replace(potential, model=model))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no device")
@pytest.mark.parametrize("number", [14, 186, 227])
def test_on_a_device(potential_folder, potential, number):
    atoms = symmetry_zoo.of_group(number)
    calc = SymCalc(potential_folder, device="cuda")
    full = SymCalc(potential, symmetry="off")
    np.testing.assert_allclose(calc.get_forces(atoms), full.get_forces(atoms), atol=FORCE)
    assert calc.evaluation.n_orbits < len(atoms)


@pytest.mark.parametrize("name", symmetry_zoo.VARIANTS)
def test_supercells_strained_displaced_and_finite_structures(either, name):
    atoms = symmetry_zoo.variants()[name]
    calc = SymCalc(either)
    calc.get_potential_energy(atoms)
    assert_reduced_equals_full(atoms, either)
    if either.model.group == "O3" and name != "rocksalt_strained":
        assert calc.evaluation.n_orbits < len(atoms)


@settings(max_examples=30)
@given(number=st.integers(1, 230), seed=st.integers(0, 10**6), n_orbits=st.integers(1, 3))
def test_random_space_groups_and_occupations(potential, handed, number, seed, n_orbits):
    fitting = [
        place
        for place in symmetry_zoo.candidates(number, seed)
        if len(symmetry_zoo.orbit(number, place)) <= 48
    ]
    atoms = symmetry_zoo.of_places(number, fitting[:n_orbits])
    assume(len(atoms) <= 64 and symmetry_zoo.spacing(atoms) > 0.4)
    assert_reduced_equals_full(atoms, potential)
    assert_reduced_equals_full(atoms, handed)


def test_mirrors_are_used_only_where_the_network_has_them(potential, handed):
    atoms = symmetry_zoo.of_group(227)
    calcs = [SymCalc(one) for one in (potential, handed)]
    for calc in calcs:
        calc.get_potential_energy(atoms)
    first, second = (calc.evaluation.n_operations for calc in calcs)
    assert first == 2 * second


def test_the_network_without_parity_has_a_handedness(potential, handed):
    """Else the tests above would say little about it."""
    atoms = symmetry_zoo.of_group(152)
    mirrored = atoms.copy()
    mirrored.set_cell(atoms.cell.array * (1, 1, -1), scale_atoms=True)
    for model, apart in ((potential, False), (handed, True)):
        here, there = (evaluate(s, model)[0].energy for s in (atoms, mirrored))
        assert (abs(here - there) > 1e-4) == apart


def test_a_committee_of_both_uses_what_both_have(potential, handed):
    atoms = symmetry_zoo.of_group(186)
    calc, full = (SymCalc([potential, handed], symmetry=s) for s in ("auto", "off"))
    np.testing.assert_allclose(calc.get_forces(atoms), full.get_forces(atoms), atol=FORCE)
    assert calc.evaluation.n_orbits < len(atoms)
    spreads = [c.get_uncertainty(atoms) for c in (calc, full)]
    np.testing.assert_allclose(*spreads, rtol=0, atol=FORCE)


def test_structures_with_and_without_symmetry_in_one_batch(either):
    structures = [symmetry_zoo.of_group(n) for n in (225, 1, 19, 62, 2)]
    structures[2].rattle(0.05, seed=1)
    together = evaluate(structures, either, symmetry="auto")
    for atoms, result in zip(structures, together, strict=True):
        assert_same(result, evaluate(atoms, either)[0], len(atoms))


def test_single_precision(potential_folder):
    calc, full = (SymCalc(potential_folder, dtype="float32", symmetry=s) for s in ("auto", "off"))
    atoms = symmetry_zoo.of_group(136)
    np.testing.assert_allclose(calc.get_forces(atoms), full.get_forces(atoms), atol=5e-5)
    np.testing.assert_allclose(calc.get_stress(atoms), full.get_stress(atoms), atol=1e-5)
    assert calc.evaluation.n_orbits < len(atoms)


def test_energies_alone_take_no_backward_pass(potential):
    atoms = symmetry_zoo.of_group(194)
    result, full = (
        evaluate(atoms, potential, properties=["energy"], symmetry=s)[0] for s in ("auto", "off")
    )
    np.testing.assert_allclose(result.atomic_energies, full.atomic_energies, rtol=0, atol=ENERGY)
    assert result.forces is None


@pytest.mark.parametrize("size", [1e-3, 1e-6])
def test_after_a_rattle_the_result_is_the_full_one_to_the_last_bit(either, size):
    calc, full = SymCalc(either), SymCalc(either, symmetry="off")
    atoms = bulk("Si", cubic=True) * (2, 1, 1)
    calc.get_forces(atoms)
    assert calc.evaluation.n_orbits == 1
    atoms.rattle(size, seed=5)
    for name in ("energy", "forces", "stress", "energies", "stresses"):
        ours, theirs = (c.get_property(name, atoms) for c in (calc, full))
        np.testing.assert_array_equal(ours, theirs)
    assert calc.evaluation.n_orbits == len(atoms)
    assert calc.evaluation.n_edges == calc.evaluation.n_edges_full


def test_within_a_tolerance_of_ones_own(potential):
    atoms = symmetry_zoo.of_group(62)
    exact = SymCalc(potential)
    exact.get_potential_energy(atoms)
    atoms.rattle(1e-4, seed=5)
    calc, full = SymCalc(potential, symmetry=1e-2), SymCalc(potential, symmetry="off")
    np.testing.assert_allclose(calc.get_forces(atoms), full.get_forces(atoms), atol=0.02)
    assert calc.evaluation.n_orbits == exact.evaluation.n_orbits


def test_the_calculator_says_what_it_did(potential):
    calc = SymCalc(potential)
    calc.get_potential_energy(bulk("Si", cubic=True) * (2, 2, 2))
    did = calc.evaluation
    assert (did.n_atoms, did.n_orbits, did.n_operations) == (64, 1, 64 // 2 * 48)
    assert did.n_edges * 64 == did.n_edges_full


def test_dynamics_leave_the_symmetry_after_one_search(potential, monkeypatch):
    searches = []

    def counted(*args, **kwargs):
        searches.append(1)
        return search(*args, **kwargs)

    search = memory.find_symmetry
    monkeypatch.setattr(memory, "find_symmetry", counted)
    atoms = bulk("Si", cubic=True)
    atoms.calc = SymCalc(potential)
    start = atoms.positions.copy()
    atoms.get_forces()
    assert atoms.calc.evaluation.n_orbits == 1
    atoms.set_momenta(np.random.default_rng(1).normal(0, 1, (8, 3)))
    VelocityVerlet(atoms, 1 * units.fs).run(20)
    assert atoms.calc.evaluation.n_orbits == 8
    assert len(searches) == 2
    atoms.positions = start  # back where it was: verified, not searched
    atoms.get_forces()
    assert atoms.calc.evaluation.n_orbits == 1
    assert len(searches) == 2


def test_displaced_supercells_are_searched_one_by_one(potential):
    """As a phonon calculation asks for them."""
    calc, full = SymCalc(potential), SymCalc(potential, symmetry="off")
    perfect = bulk("Si", cubic=True) * (2, 1, 1)
    for atom, axis, sign in itertools.product((0, 5), range(3), (1, -1)):
        atoms = perfect.copy()
        atoms.positions[atom, axis] += sign * 0.01
        np.testing.assert_allclose(calc.get_forces(atoms), full.get_forces(atoms), atol=FORCE)
        assert calc.evaluation.n_orbits < len(atoms)


@pytest.mark.parametrize("number", [99, 136, 152, 186, 198, 227])
@pytest.mark.parametrize("optimizer", [BFGS, FIRE])
def test_relaxation_keeps_the_space_group_to_the_end(potential, number, optimizer):
    atoms = symmetry_zoo.of_group(number)
    before = operations(atoms)
    atoms.calc = SymCalc(potential)
    filtered = FrechetCellFilter(atoms)
    with optimizer(filtered, logfile=None) as run:
        for _ in run.irun(fmax=0.01, steps=25):
            assert atoms.calc.evaluation.n_orbits < len(atoms)
    assert operations(atoms) >= before


def operations(atoms):
    found = find_operations(
        atoms.positions, atoms.cell.array, atoms.pbc, atoms.numbers, tolerance=1e-9
    )
    return len(found.images) * found.n_translations


def test_the_energy_of_representatives_may_be_differentiated_twice(potential):
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, -1]])
    rotations = Rotations(np.stack([np.eye(3), turn]))
    expand = RotatedImages(np.array([0]), [(rotations, np.array([1]))])
    vectors = torch.tensor([[1.9, 0.3, 0.2], [-0.4, 2.2, 0.1]], dtype=torch.float64)

    def energy(edge_vectors):
        environments = Environments(
            edge_vectors,
            centre=torch.tensor([0, 0]),
            neighbour=torch.tensor([0, 1]),
            atomic_numbers=torch.tensor([14, 14]),
            n_centres=1,
            expand=expand,
        )
        return potential.model(environments).sum()

    vectors.requires_grad_()
    assert torch.autograd.gradcheck(energy, (vectors,), atol=1e-6)
    assert torch.autograd.gradgradcheck(energy, (vectors,), atol=1e-6)
