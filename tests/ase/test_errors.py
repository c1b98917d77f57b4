"""Bad input is answered with a sentence of ASE's own kind, and nothing is touched."""

import copy
import shutil

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import CalculationFailed, CalculatorSetupError, InputError

from ase_symcalc import SymCalc, load_potential
from ase_symcalc.potential_files import Potential
from tests.conftest import save_small_potential


def coincident():
    return Atoms("Si2", [(0, 0, 0), (0, 0, 0.05)])


def coincident_through_the_boundary():
    return Atoms("SiCu", [(0, 0, 0), (0, 0, 3.96)], cell=(4, 4, 4), pbc=True)


def not_a_number(index, value):
    atoms = bulk("Si", cubic=True)
    atoms.positions[index, 1] = value
    return atoms


def with_cell(cell):
    atoms = bulk("Si", cubic=True)
    atoms.set_cell(cell)
    return atoms


BAD = {
    "empty": (Atoms(), "the structure has no atoms"),
    "element": (bulk("Fe"), "not trained on Fe; it knows Li, Si, Ni, Cu, Ge, Mo"),
    "nan": (not_a_number(3, np.nan), "position of atom 3"),
    "infinite": (not_a_number(5, np.inf), "position of atom 5"),
    "nan cell": (with_cell([5, np.nan, 5]), "the cell is"),
    "zero vector": (with_cell([5, 5, 0]), "cell vector 2 is periodic"),
    "coplanar": (with_cell([[5, 0, 0], [0, 5, 0], [5, 5, 0]]), "lie in one plane"),
    "coincident": (coincident(), r"atoms 0 \(Si\) and 1 \(Si\) are 0.05 Å apart"),
    "image": (coincident_through_the_boundary(), r"0 \(Si\) and 1 \(Cu\) .* through a periodic"),
}


@pytest.mark.parametrize(("atoms", "sentence"), BAD.values(), ids=BAD)
def test_a_structure_without_meaning_is_refused_before_anything_is_computed(
    calc, silicon, atoms, sentence
):
    energy = calc.get_property("energy", silicon)
    atoms, only = copy.deepcopy(atoms), calc.evaluation
    before = copy.deepcopy(atoms.arrays), atoms.cell.array.copy(), atoms.pbc.copy()
    for name in ("energy", "forces"):
        with pytest.raises(InputError, match=sentence) as error:
            calc.get_property(name, atoms)
        assert type(error.value.__cause__).__module__ == "ase_symcalc.errors"
    with pytest.raises(InputError, match=sentence):
        calc.calculate(atoms)
    assert not calc.results
    assert calc.evaluation is only
    for one, other in zip(before[0].values(), atoms.arrays.values(), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(before[1], atoms.cell.array)
    assert calc.get_property("energy", silicon) == energy


def test_results_of_an_earlier_structure_never_pass_for_those_of_a_refused_one(calc, silicon):
    silicon.calc = calc
    silicon.get_forces()
    silicon.positions[0] = np.nan
    for _ in range(2):
        with pytest.raises(InputError):
            silicon.get_forces()
    with pytest.raises(InputError):
        calc.calculate(silicon)
    assert calc.atoms is None
    with pytest.raises(InputError, match="expected atoms, got none"):
        calc.get_forces()


def test_an_unknown_element_is_refused_as_soon_as_the_calculator_is_set(calc):
    atoms = bulk("Fe")
    with pytest.raises(InputError, match="not trained on Fe"):
        atoms.calc = calc


def test_atoms_may_be_finished_after_the_calculator_is_set(calc):
    atoms = Atoms("Si2", pbc=True, calculator=calc)
    atoms.set_cell(bulk("Si").cell)
    atoms.set_scaled_positions([(0, 0, 0), (0.25, 0.25, 0.25)])
    assert np.isfinite(atoms.get_potential_energy())
    empty = Atoms(calculator=calc)
    empty += Atoms("Si")
    assert np.isfinite(empty.get_potential_energy())


def test_the_sentence_names_a_potential_that_knows_all_the_elements(
    potential_folder, tmp_path, monkeypatch
):
    shutil.copytree(potential_folder, tmp_path / "small")
    monkeypatch.setenv("ASE_SYMCALC_POTENTIALS", str(tmp_path))
    lithium_only = load_potential(potential_folder)
    lithium_only.model.elements = ("Li",)
    with pytest.raises(
        InputError, match=r"not trained on Si; it knows Li\. .*cover Li, Si: .*small"
    ):
        SymCalc(lithium_only).get_potential_energy(Atoms("LiSi", [(0, 0, 0), (2, 0, 0)]))
    with pytest.raises(InputError, match="No potential that is installed covers them all"):
        SymCalc(lithium_only).get_potential_energy(Atoms("LiFe", [(0, 0, 0), (2, 0, 0)]))


def test_a_network_gone_wrong_is_reported_and_leaves_no_results(potential_folder, silicon):
    broken = load_potential(potential_folder)
    calc = SymCalc(broken)
    silicon.calc = calc
    silicon.get_forces()
    with torch.no_grad():
        next(broken.model.parameters()).fill_(torch.nan)
    silicon.rattle(0.01)
    with pytest.raises(CalculationFailed, match="expected finite numbers from the network"):
        silicon.get_forces()
    assert not calc.results


@pytest.mark.parametrize("symmetry", ["on", "", 0.0, -1.0, 0.2, float("nan")])
def test_symmetry_is_checked(potential, symmetry):
    with pytest.raises(InputError, match="expected symmetry to be 'auto', 'off' or a tolerance"):
        SymCalc(potential, symmetry=symmetry)


@pytest.mark.parametrize("symmetry", ["auto", "off", 1e-8, 0.1])
def test_symmetry_may_be_these(potential, silicon, symmetry):
    calc = SymCalc(potential, symmetry=symmetry)
    assert calc.get_property("energy", silicon) == SymCalc(potential).get_property(
        "energy", silicon
    )


@pytest.mark.parametrize("skin", [-0.1, float("inf"), float("nan")])
def test_skin_is_checked(potential, skin):
    with pytest.raises(InputError, match="skin"):
        SymCalc(potential, skin=skin)


@pytest.mark.parametrize("bad", ["1", None, True])
def test_lengths_are_numbers(calc, bad):
    with pytest.raises(InputError, match="expected a length in Å"):
        calc.set(skin=bad)


def test_dtype_and_device_are_checked(potential_folder):
    with pytest.raises(InputError, match="expected dtype to be float64 or float32"):
        SymCalc(potential_folder, dtype="float16")
    with pytest.raises(InputError, match="device='cpu' always works"):
        SymCalc(potential_folder, device="abacus")


def test_a_loaded_potential_must_have_the_dtype_that_is_asked_for(potential_folder):
    with pytest.raises(InputError, match="give SymCalc and load_potential the same dtype"):
        SymCalc(load_potential(potential_folder, dtype="float32"))
    SymCalc(load_potential(potential_folder, dtype="float32"), dtype="float32")


def test_a_potential_must_be_named(calc):
    with pytest.raises(InputError, match="expected a potential's name"):
        SymCalc([])
    with pytest.raises(InputError, match="expected a potential's name"):
        calc.set(potential=())


def test_a_potential_that_is_not_there_or_damaged_is_a_setup_error(tmp_path):
    with pytest.raises(CalculatorSetupError, match="expected the name of a potential"):
        SymCalc("no-such-potential")
    folder = save_small_potential(tmp_path / "damaged")
    weights = folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(CalculatorSetupError, match="expected sha256"):
        SymCalc(folder)


def test_a_potential_in_memory_needs_no_folder(potential, silicon):
    homeless = Potential(potential.card, potential.model, None, potential.device, potential.dtype)
    assert np.isfinite(SymCalc(homeless).get_property("energy", silicon))
