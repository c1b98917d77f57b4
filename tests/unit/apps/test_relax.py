"""`relax` with ASE's own EMT: it must work for any calculator."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, fcc111
from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT
from ase.cluster import Icosahedron
from ase.constraints import FixAtoms
from ase.filters import FrechetCellFilter
from ase.io import read
from ase.optimize import BFGS

from ase_symcalc.apps import relax
from ase_symcalc.apps.relax import OPTIMISERS
from ase_symcalc.errors import InputError, NumericalError

# spglib 2.8 tells every caller that its way of failing will change


def disturbed(atoms, strain=0.02, rattle=0.05, seed=0):
    """The same crystal, sheared and shaken."""
    rng = np.random.default_rng(seed)
    shear = rng.uniform(-strain, strain, (3, 3))
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + shear + shear.T), scale_atoms=True)
    atoms.positions += rng.normal(0, rattle, atoms.positions.shape)
    atoms.calc = EMT()
    return atoms


def largest_force(atoms):
    return np.linalg.norm(atoms.get_forces(), axis=1).max()


@pytest.mark.parametrize("optimizer", ["auto", "BFGS", "LBFGS", "FIRE"])
def test_crystal_finds_its_minimum_and_its_symmetry(optimizer):
    result = relax(disturbed(bulk("Cu", cubic=True)), fmax=1e-3, optimizer=optimizer)
    assert result.converged
    assert largest_force(result.atoms) < 1e-3
    stress = result.atoms.get_stress()
    assert np.abs(stress).max() * result.atoms.get_volume() / 4 < 1e-3
    assert result.initial.space_group == "P1 (1)"
    assert result.final.space_group == "Fm-3m (225)"
    np.testing.assert_allclose(result.final.lengths, result.final.lengths.mean(), rtol=1e-3)
    np.testing.assert_allclose(result.final.angles, 90, atol=0.05)
    assert result.final.volume == pytest.approx(result.atoms.get_volume())


def test_history_has_the_start_and_every_step():
    atoms = disturbed(bulk("Cu", cubic=True))
    seen = []
    result = relax(atoms, on_step=seen.append)
    assert [step.step for step in seen] == list(range(result.steps + 1))
    assert len(result.energies) == len(result.fmax) == len(result.max_stress) == result.steps + 1
    assert result.energies[0] == seen[0].energy == pytest.approx(atoms.get_potential_energy())
    assert result.fmax[0] == pytest.approx(largest_force(atoms))
    in_gpa = np.abs(atoms.get_stress()).max() / units.GPa
    assert result.max_stress[0] == pytest.approx(in_gpa, rel=1e-6)
    assert result.energies[-1] == pytest.approx(result.atoms.get_potential_energy())
    assert result.fmax[-1] < result.target_fmax == 0.01


def test_input_is_left_alone_and_keeps_its_calculator():
    atoms = disturbed(bulk("Cu", cubic=True))
    before, calculator = atoms.copy(), atoms.calc
    result = relax(atoms)
    assert atoms == before
    assert atoms.calc is calculator
    assert result.atoms.calc is calculator
    assert result.atoms != before


def test_fixed_cell_stays_and_free_stress_is_reported():
    atoms = disturbed(bulk("Cu", cubic=True))
    result = relax(atoms, cell=False)
    assert result.converged
    np.testing.assert_array_equal(result.atoms.cell.array, atoms.cell.array)
    in_gpa = np.abs(result.atoms.get_stress()).max() / units.GPa
    assert result.max_stress[-1] == pytest.approx(in_gpa, rel=1e-6)


def test_cluster_has_no_lattice():
    atoms = Icosahedron("Cu", 2)
    atoms.positions *= 1.05
    atoms.calc = EMT()
    result = relax(atoms)
    assert result.converged
    assert result.initial is None
    assert result.final is None
    assert result.max_stress is None


@pytest.mark.parametrize("vacuum", ["x", "z"])
def test_slab_keeps_its_vacuum(vacuum):
    atoms = fcc111("Cu", (1, 1, 4), a=3.5, vacuum=6)
    if vacuum == "x":
        turn = [[0, 1, 0], [0, 0, 1], [1, 0, 0]]  # cyclic: x is the surface normal afterwards
        atoms.set_cell((atoms.cell.array @ turn)[[2, 0, 1]])
        atoms.positions = atoms.positions @ turn
        atoms.pbc = (False, True, True)
    atoms.calc = EMT()
    result = relax(atoms)
    empty, *periodic = (0, 1, 2) if vacuum == "x" else (2, 0, 1)
    moved = result.atoms.cell.array - atoms.cell.array
    np.testing.assert_allclose(moved[empty], 0, atol=1e-12)
    assert result.converged
    assert (result.final.lengths[periodic] > result.initial.lengths[periodic] + 0.01).all()
    assert result.final.space_group is None
    along = np.ix_(periodic, periodic)
    in_gpa = np.abs(result.atoms.get_stress(voigt=False)[along]).max() / units.GPa
    assert result.max_stress[-1] == pytest.approx(in_gpa, rel=1e-6)


def test_wire_relaxes_along_its_axis_only():
    atoms = Atoms("Cu2", [(5, 5, 0.2), (5, 5.6, 2.5)], cell=(10, 10, 4.4), pbc=(False, False, True))
    atoms.calc = EMT()
    result = relax(atoms)
    assert result.converged
    np.testing.assert_allclose(result.final.lengths[:2], 10, atol=1e-12)
    assert abs(result.final.lengths[2] - 4.4) > 0.05


def test_cell_scale_saves_steps():
    """The claim of the docstring, on one of the structures it was measured on."""
    atoms = disturbed(bulk("Cu", cubic=True) * 2, strain=0.025, rattle=0.1)
    usual = atoms.copy()
    usual.calc = EMT()
    optimiser = BFGS(FrechetCellFilter(usual), logfile=None)
    assert optimiser.run(fmax=0.01, steps=500)
    assert relax(atoms).steps < optimiser.nsteps / 2


def test_many_atoms_do_without_a_full_hessian(monkeypatch):
    class Refused(BFGS):
        def __init__(self, *_, **__):
            raise AssertionError("BFGS was chosen")

    monkeypatch.setitem(OPTIMISERS, "BFGS", Refused)
    few, many = bulk("Cu"), bulk("Cu") * (7, 7, 7)
    few.calc = many.calc = EMT()
    with pytest.raises(AssertionError, match="BFGS was chosen"):
        relax(few, max_steps=0)
    assert relax(many, cell=False, max_steps=0).steps == 0


def test_constraints_are_respected():
    atoms = disturbed(bulk("Cu", cubic=True), strain=0)
    atoms.set_constraint(FixAtoms([0]))
    result = relax(atoms, cell=False)
    assert result.converged
    np.testing.assert_array_equal(result.atoms.positions[0], atoms.positions[0])


def test_steps_run_out():
    result = relax(disturbed(bulk("Cu", cubic=True)), max_steps=2)
    assert not result.converged
    assert result.steps == 2
    start_only = relax(disturbed(bulk("Cu", cubic=True)), max_steps=0)
    assert start_only.steps == 0
    assert len(start_only.energies) == 1


def test_trajectory_holds_every_step(tmp_path):
    path = tmp_path / "steps.traj"
    result = relax(disturbed(bulk("Cu", cubic=True)), trajectory=path)
    images = read(path, ":")
    energies = [image.get_potential_energy() for image in images]
    np.testing.assert_allclose(energies, result.energies, rtol=1e-12)
    np.testing.assert_allclose(images[-1].cell.array, result.atoms.cell.array, rtol=1e-12)


def test_interrupted_trajectory_is_whole(tmp_path):
    def stop(step):
        if step.step == 3:
            raise KeyboardInterrupt

    path = tmp_path / "steps.traj"
    with pytest.raises(KeyboardInterrupt):
        relax(disturbed(bulk("Cu", cubic=True)), trajectory=path, on_step=stop)
    assert len(read(path, ":")) == 4


class NoStress(EMT):
    """EMT as a calculator without stress."""

    implemented_properties = ["energy", "free_energy", "forces"]  # noqa: RUF012

    def calculate(self, atoms=None, properties=(), system_changes=()):
        super().calculate(atoms, properties, system_changes)
        self.results.pop("stress", None)


class Broken(Calculator):
    """Answers with NaN, after a while or at once."""

    implemented_properties = ["energy", "free_energy", "forces"]  # noqa: RUF012

    def calculate(self, atoms=None, properties=(), system_changes=()):
        super().calculate(atoms, properties, system_changes)
        self.results = {"energy": np.nan, "free_energy": np.nan, "forces": np.zeros((4, 3))}


def test_calculator_without_stress_relaxes_positions_only():
    atoms = disturbed(bulk("Cu", cubic=True))
    atoms.calc = NoStress()
    with pytest.raises(InputError, match="needs the stress, which this calculator does not"):
        relax(atoms)
    result = relax(atoms, cell=False)
    assert result.converged
    assert result.max_stress is None


def test_not_a_number_is_refused_before_anything_is_written(tmp_path):
    atoms = bulk("Cu", cubic=True)
    atoms.calc = Broken()
    path = tmp_path / "steps.traj"
    with pytest.raises(NumericalError, match="step 0 of the relaxation gave an energy of nan"):
        relax(atoms, cell=False, trajectory=path)
    assert not path.exists()


def test_structure_without_atoms_or_calculator():
    with pytest.raises(InputError, match="at least one atom"):
        relax(Atoms())
    with pytest.raises(InputError, match="no calculator; attach one"):
        relax(bulk("Cu"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fmax": 0.0}, "fmax above 0"),
        ({"fmax": float("nan")}, "fmax above 0"),
        ({"max_steps": -1}, "max_steps of 0 or more"),
        ({"optimizer": "Newton"}, "no optimizer 'Newton'; choose one of auto, BFGS, LBFGS, FIRE"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(InputError, match=message):
        relax(disturbed(bulk("Cu", cubic=True)), **arguments)


def test_cell_without_volume():
    atoms = Atoms("Cu", cell=[(2.5, 0, 0), (0, 0, 0), (0, 0, 0)], pbc=(True, False, False))
    atoms.calc = EMT()
    with pytest.raises(InputError, match="needs a volume"):
        relax(atoms)


def test_slab_in_a_general_orientation():
    atoms = fcc111("Cu", (1, 1, 3), vacuum=6)
    atoms.rotate(30, "x", rotate_cell=True)
    atoms.calc = EMT()
    with pytest.raises(InputError, match="along Cartesian axes or planes"):
        relax(atoms)
