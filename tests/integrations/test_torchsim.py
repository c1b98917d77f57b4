"""`SymCalcModel` in TorchSim: its own checks, and the same numbers as one by one."""

import runpy
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import bulk, molecule

from ase_symcalc import SymCalc, load_potential
from ase_symcalc.errors import (
    InputError,
    NumericalError,
    OutsideTrainingWarning,
    UnsupportedElementError,
)
from ase_symcalc.models import ModelConfig, build_model
from ase_symcalc.potential_files import Potential

from ..tolerances import TIGHT

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it compiles by torch.jit
    ts = pytest.importorskip("torch_sim", reason="needs ase-symcalc[torchsim]")
    from torch_sim.autobatching import InFlightAutoBatcher
    from torch_sim.integrators.md import MDState
    from torch_sim.models.interface import ModelInterface, validate_model_outputs
    from torch_sim.runners import generate_force_convergence_fn

from ase_symcalc.integrations import torchsim
from ase_symcalc.integrations.torchsim import SymCalcModel

FIRE = ts.Optimizer.fire if hasattr(ts, "Optimizer") else ts.optimizers.fire
NVE = ts.Integrator.nve if hasattr(ts, "Integrator") else ts.nve
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model(potential):
    return SymCalcModel(potential)


@pytest.fixture
def crystals():
    """Four systems of unequal size and species, no symmetry left."""
    mixed = bulk("NiMo", "rocksalt", a=5.0, cubic=True)
    cells = [bulk("Si", cubic=True), mixed, bulk("Li") * (2, 2, 1), bulk("Cu")]
    for seed, atoms in enumerate(cells):
        atoms.set_cell(atoms.cell.array @ [[1, 0.02, 0], [0, 1.01, 0.01], [0, 0, 0.99]], True)
        atoms.rattle(0.06, seed=seed)
    return cells


def state_of(structures, dtype=torch.float64):
    return ts.io.atoms_to_state(structures, CPU, dtype)


def spread(dtype):
    """A potential in memory for the elements that TorchSim's own check is made of."""
    elements = ("H", "C", "Mg", "Si", "Fe")
    config = ModelConfig(
        elements=elements,
        cutoff=4.0,
        num_layers=2,
        num_channels=4,
        lmax=1,
        sh_lmax=2,
        num_bessel=4,
        radial_width=8,
        radial_depth=1,
        avg_num_neighbours=20.0,
        repulsion_radii=(0.4, 0.8, 1.2, 1.2, 1.1),
    )
    return build_model(config, seed=3).to(dtype).eval().requires_grad_(False)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_torchsim_validates_it(dtype, potential):
    network = spread(dtype)
    card = replace(potential.card, name="spread", elements=network.elements)
    wanted = Potential(card, network, None, CPU, dtype)
    model = SymCalcModel(wanted, dtype=dtype)
    assert isinstance(model, ModelInterface)
    validate_model_outputs(model, CPU, dtype)


def test_a_batch_is_each_alone_and_is_symcalc(model, potential, crystals):
    together = model(state_of(crystals))
    start = 0
    calc = SymCalc(potential)
    for index, atoms in enumerate(crystals):
        rows = slice(start, start := start + len(atoms))
        alone = model(state_of([atoms]))
        atoms.calc = calc
        for found, at in ((together, index), (alone, 0)):
            assert found["energy"][at].item() == pytest.approx(
                atoms.get_potential_energy(), abs=TIGHT * len(atoms)
            )
            stress = atoms.get_stress(voigt=False)
            np.testing.assert_allclose(found["stress"][at], stress, rtol=0, atol=TIGHT)
        forces = atoms.get_forces()
        np.testing.assert_allclose(together["forces"][rows], forces, rtol=0, atol=TIGHT)
        np.testing.assert_allclose(alone["forces"], forces, rtol=0, atol=TIGHT)


def test_shapes_types_and_no_graph(potential_folder, crystals):
    model = SymCalcModel(potential_folder, dtype=torch.float32)
    state = state_of(crystals, torch.float32)
    state.positions.requires_grad_()
    found = model(state, extras=None)
    n = len(crystals)
    shapes = {name: tuple(tensor.shape) for name, tensor in found.items()}
    assert shapes == {"energy": (n,), "forces": (state.n_atoms, 3), "stress": (n, 3, 3)}
    for tensor in found.values():
        assert (tensor.dtype, tensor.device, tensor.requires_grad) == (torch.float32, CPU, False)
    assert (model.dtype, model.device) == (torch.float32, CPU)
    assert model.memory_scales_with in ("n_edges", "n_atoms_x_density")


def test_what_is_not_asked_for_is_not_there(potential, crystals):
    model = SymCalcModel(potential, compute_forces=False, compute_stress=False)
    assert not model.compute_forces
    assert not model.compute_stress
    assert set(model(state_of(crystals))) == {"energy"}


def test_positions_may_lie_anywhere_and_stay_there(model, crystals):
    state = state_of(crystals)
    inside = model(state)
    for system, steps in enumerate([(1, -2, 0), (0, 5, 1), (-1, 0, 0), (2, 2, 2)]):
        first = int(np.flatnonzero(state.system_idx.numpy() == system)[0])
        state.positions[first] += torch.tensor(steps, dtype=state.dtype) @ state.cell[system].mT
    before = state.clone()
    outside = model(state)
    for name in inside:
        np.testing.assert_allclose(inside[name], outside[name], rtol=0, atol=1e-8)
    for name in ("positions", "cell", "system_idx", "atomic_numbers"):
        assert torch.equal(getattr(state, name), getattr(before, name))


def test_other_systems_in_the_same_places_are_no_matter(potential, crystals):
    """Whatever is remembered of the last batch."""
    model = SymCalcModel(potential)
    for order in ([0, 1, 2, 3], [3, 1, 0, 2], [2], [1, 3], [0, 1, 2, 3]):
        found = model(state_of([crystals[k] for k in order]))
        fresh = SymCalcModel(potential)(state_of([crystals[k] for k in order]))
        for name in found:
            assert torch.equal(found[name], fresh[name])


def test_a_dictionary_is_a_state(model, crystals):
    state = state_of(crystals)
    fields = ("positions", "cell", "pbc", "atomic_numbers", "system_idx")
    found = model({name: getattr(state, name) for name in fields})
    for name, tensor in model(state).items():
        assert torch.equal(found[name], tensor)


def test_without_a_volume_stress_is_not_a_number(model, potential):
    found = model(state_of([Atoms("Si3", [(0, 0, 0), (2.3, 0, 0), (0, 2.4, 0.3)])]))
    assert found["stress"].isnan().all()
    assert found["forces"].isfinite().all()


def relaxed(model, structures, autobatcher=False):
    converged = generate_force_convergence_fn(0.01, include_cell_forces=False)
    return ts.optimize(
        structures,
        model,
        optimizer=FIRE,
        convergence_fn=converged,
        autobatcher=autobatcher,
        max_steps=2000,
    )


def test_fire_relaxes_systems_together_as_alone(model, crystals):
    alone = [relaxed(model, [atoms]).energy.item() for atoms in crystals]
    together = relaxed(model, crystals).energy.tolist()
    small = {"memory_scales_with": "n_atoms", "max_memory_scaler": 13}
    swapped = relaxed(model, crystals, InFlightAutoBatcher(model, **small)).energy.tolist()
    assert together == pytest.approx(alone, abs=1e-8)
    assert swapped == pytest.approx(alone, abs=1e-8)
    # forces on the atoms of the first are small indeed
    final = relaxed(model, crystals)
    assert model(final)["forces"].norm(dim=1).max() < 0.01


def test_nve_conserves_energy(model, crystals):
    """After 0.1 ps what is missing is that of velocity Verlet: of second order in the step."""
    lost = torch.stack([gained(model, crystals, 0.002 / n, 50 * n) for n in (1, 2, 4)]).abs()
    assert lost[0].max() < 2e-3  # eV per atom, of 0.04 that are kinetic
    moves = lost[0] > 1e-9
    assert moves.tolist() == [True, True, True, False]  # one atom alone stands still
    assert (lost[2, moves] < lost[0, moves] / 8).all()


def gained(model, structures, timestep, n_steps):
    """Energy per atom (eV) that systems have gained when a run of 300 K ends."""
    first = moving(model, structures)
    final = ts.integrate(
        first, model, integrator=NVE, n_steps=n_steps, temperature=300.0, timestep=timestep
    )
    return (total_energy(final) - total_energy(first)) / first.n_atoms_per_system


def moving(model, structures):
    """The same momenta (300 K) each time, no system moving as a whole."""
    state = state_of(structures)
    random = torch.randn(state.positions.shape, generator=torch.Generator().manual_seed(5))
    momenta = random * (state.masses[:, None] * 300 * units.kB) ** 0.5
    drift = torch.zeros(state.n_systems, 3, dtype=state.dtype)
    drift = drift.index_add(0, state.system_idx, momenta) / state.n_atoms_per_system[:, None]
    found = model(state)
    return MDState(
        positions=state.positions,
        momenta=momenta - drift[state.system_idx],
        energy=found["energy"],
        forces=found["forces"],
        masses=state.masses,
        cell=state.cell,
        pbc=state.pbc,
        system_idx=state.system_idx,
        atomic_numbers=state.atomic_numbers,
    )


def total_energy(state):
    each = 0.5 * (state.momenta**2).sum(1) / state.masses
    return state.energy.index_add(0, state.system_idx, each)


def test_unknown_element_is_refused_with_our_sentence(model, crystals):
    with pytest.raises(UnsupportedElementError, match="structure 1: the potential was not trained"):
        model(state_of([crystals[0], bulk("Fe")]))
    with pytest.raises(UnsupportedElementError, match=r"^the potential was not trained on Fe"):
        model(state_of([bulk("Fe")]))


def test_a_system_without_meaning_is_named(model, crystals):
    state = state_of(crystals)
    state.positions[9] = torch.nan
    with pytest.raises(InputError, match="structure 1: the position of atom 1"):
        model(state)
    state = state_of(crystals)
    state.positions[13] = state.positions[12]
    with pytest.raises(InputError, match=r"structure 1: atoms 4 \(.*\) and 5 \(.*\) are 0 Å apart"):
        model(state)


def test_numbers_that_are_not_finite_are_named(potential, crystals, monkeypatch):
    def evaluate(batch, potential):
        if any(28 in arrays.atomic_numbers for arrays, _ in batch):
            raise NumericalError("expected finite numbers")
        return []

    monkeypatch.setattr("ase_symcalc.integrations.together.evaluate_pairs", evaluate)
    with pytest.raises(NumericalError, match=r"^structure 1: expected finite numbers$"):
        SymCalcModel(potential)(state_of(crystals))


def test_pairs_never_met_in_training_are_named_once(potential, crystals):
    card = replace(potential.card, pairs=("Ni-Ni", "Mo-Mo"))
    model = SymCalcModel(replace(potential, card=card))
    with pytest.warns(OutsideTrainingWarning, match="No Ni was near Mo") as caught:
        model(state_of(crystals[1:2]))
    assert len(caught) == 1
    model(state_of(crystals[1:2]))


def test_arguments_without_meaning(potential):
    with pytest.raises(InputError, match="same dtype and device"):
        SymCalcModel(potential, dtype=torch.float32)
    with pytest.raises(InputError, match="expected dtype to be float64 or float32"):
        SymCalcModel("default", dtype=torch.float16)


def test_in_inference_mode(potential_folder, crystals):
    with torch.inference_mode():
        found = SymCalcModel(load_potential(potential_folder))(state_of(crystals))
    assert found["forces"].isfinite().all()


def test_without_torchsim_a_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_sim.models.interface", None)
    with pytest.raises(ImportError, match=r"pip install 'ase-symcalc\[torchsim\]'"):
        runpy.run_path(torchsim.__file__)


def test_molecules_of_other_sizes_and_crystals_in_one_call(potential):
    """A state has one pbc for all; without it, cells are not looked at."""
    model = SymCalcModel(potential)
    clusters = [molecule("Si2H6"), molecule("LiH")]
    for atoms in clusters:
        atoms.numbers[atoms.numbers == 1] = 14
        atoms.positions *= 2
    found = model(state_of(clusters))
    for index, atoms in enumerate(clusters):
        atoms.calc = SymCalc(potential)
        energy = atoms.get_potential_energy()
        assert found["energy"][index].item() == pytest.approx(energy, abs=TIGHT)
