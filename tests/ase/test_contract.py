"""The border with ASE, line by line of its calculator protocol."""

import json

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.calculator import InputError, PropertyNotImplementedError, all_changes
from ase.calculators.fd import FiniteDifferenceCalculator
from ase.calculators.mixing import SumCalculator
from ase.stress import full_3x3_to_voigt_6_stress

from ase_symcalc import SymCalc, evaluate
from tests.tolerances import DERIVATIVE, EXACT, SINGLE, TIGHT
from tests.zoo import NAMES, zoo

PROPERTIES = ["energy", "free_energy", "energies", "forces", "stress", "stresses"]


def test_it_promises_what_it_delivers_and_nothing_more(calc, silicon):
    assert SymCalc.implemented_properties == PROPERTIES
    calc.calculate(silicon, PROPERTIES, all_changes)
    assert sorted(calc.results) == sorted(PROPERTIES)
    with pytest.raises(PropertyNotImplementedError):
        calc.get_dipole_moment(silicon)


@pytest.mark.parametrize("name", NAMES)
def test_results_have_the_shapes_units_and_sums_of_ase(calc, name):
    atoms = zoo()[name]
    atoms.calc = calc
    energy, energies, forces = (
        atoms.get_potential_energy(),
        atoms.get_potential_energies(),
        atoms.get_forces(),
    )
    assert type(energy) is float
    assert atoms.get_potential_energy(force_consistent=True) == energy
    assert energies.shape == (len(atoms),)
    assert energies.sum() == pytest.approx(energy, abs=TIGHT)
    assert forces.shape == (len(atoms), 3)
    if "stress" in calc.results:
        stress, stresses = atoms.get_stress(), atoms.get_stresses()
        assert stress.shape == (6,)
        assert stresses.shape == (len(atoms), 6)
        np.testing.assert_allclose(stresses.sum(axis=0), stress, atol=TIGHT)


def test_stress_is_in_voigt_order_and_positive_under_tension(potential, silicon):
    silicon.calc = SymCalc(potential)
    matrix = evaluate(silicon, potential)[0].stress
    xx, yy, zz, yz, xz, xy = silicon.get_stress()
    np.testing.assert_array_equal(matrix, [[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    np.testing.assert_array_equal(full_3x3_to_voigt_6_stress(matrix), silicon.get_stress())
    step = 1e-5
    longer = silicon.copy()
    longer.set_cell(silicon.cell * (1 + step), scale_atoms=True)
    longer.calc = silicon.calc
    rise = longer.get_potential_energy() - silicon.get_potential_energy()
    assert np.sign(rise) == np.sign(xx + yy + zz)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_results_are_writable_float64_copies(potential_folder, silicon, dtype):
    silicon.calc = calc = SymCalc(potential_folder, dtype=dtype)
    for name in PROPERTIES[2:]:
        first, second = (calc.get_property(name, silicon) for _ in range(2))
        assert first.dtype == np.float64
        first += 1
        np.testing.assert_array_equal(calc.get_property(name, silicon), second)


def test_float32_agrees_with_float64_within_its_precision(potential_folder, silicon):
    single, double = (SymCalc(potential_folder, dtype=dtype) for dtype in ("float32", "float64"))
    for name, tolerance in SINGLE.items():
        difference = single.get_property(name, silicon) - double.get_property(name, silicon)
        assert np.abs(difference).max() < tolerance * (len(silicon) if name == "energy" else 1)


def test_one_evaluation_serves_energy_forces_and_stress(calc, silicon):
    silicon.calc = calc
    silicon.get_forces()
    only = calc.evaluation
    for ask in (silicon.get_potential_energy, silicon.get_potential_energies, silicon.get_stress):
        ask()
        silicon.get_stresses()
    assert calc.evaluation is only


def test_asking_for_the_energy_takes_no_backward_pass(calc, silicon, monkeypatch):
    silicon.calc = calc
    with monkeypatch.context() as patch:
        patch.delattr("ase_symcalc.inference.gated._Evaluation.backward")
        silicon.get_potential_energy()
    assert "forces" not in calc.results
    energy = silicon.get_potential_energy()
    assert np.abs(silicon.get_forces()).max() > 0
    assert silicon.get_potential_energy() == energy


def test_each_hop_has_a_label_and_a_time(calc, silicon):
    hops = {"from_ase", "neighbour_pairs", "recall", "surroundings", "network", "to_atoms"}
    with torch.profiler.profile() as profile:
        calc.get_property("forces", silicon)
    assert hops <= {event.key for event in profile.key_averages()}
    assert set(calc.evaluation.seconds) == hops
    assert all(seconds > 0 for seconds in calc.evaluation.seconds.values())


def test_evaluation_says_what_the_last_calculation_did(calc, silicon):
    assert calc.evaluation is None
    silicon.calc = calc
    silicon.get_forces()
    first = calc.evaluation
    assert (first.n_atoms, first.n_orbits, first.n_operations) == (8, 8, 1)
    assert first.n_edges == first.n_edges_full > 0
    assert first.list_rebuilt
    silicon.positions[0] += 0.1
    silicon.get_forces()
    assert not calc.evaluation.list_rebuilt
    silicon.positions[0] += 0.6
    silicon.get_forces()
    assert calc.evaluation.list_rebuilt
    with pytest.raises(AttributeError):
        first.n_atoms = 9


@pytest.mark.parametrize("change", ["positions", "cell", "numbers", "pbc"])
def test_whatever_the_network_sees_is_watched(calc, silicon, change):
    silicon.calc = calc
    before = silicon.get_potential_energy()
    if change == "positions":
        silicon.positions[0, 0] += 1e-14
    elif change == "cell":
        silicon.cell[0, 0] += 0.01
    elif change == "numbers":
        silicon.numbers[0] = 32
    else:
        silicon.pbc = (True, True, False)
    assert calc.calculation_required(silicon, ["energy"])
    assert calc.get_property("energy", silicon, allow_calculation=False) is None
    after = silicon.get_potential_energy()
    fresh = silicon.copy()
    fresh.calc = SymCalc(calc.parameters["potential"])
    assert after == fresh.get_potential_energy()
    assert (after != before) or change == "positions"


def test_what_the_network_does_not_see_is_ignored(calc, silicon):
    silicon.calc = calc
    silicon.get_forces()
    only = calc.evaluation
    silicon.set_initial_charges(np.ones(8))
    silicon.set_initial_magnetic_moments(np.ones(8))
    silicon.set_tags(range(8))
    silicon.set_masses(np.full(8, 30.0))
    silicon.info["note"] = "x"
    silicon.get_forces()
    assert calc.evaluation is only


def test_moving_an_atom_by_a_lattice_vector_recomputes_and_agrees(calc, silicon):
    silicon.calc = calc
    forces = silicon.get_forces()
    silicon.positions[3] += silicon.cell[1]
    assert calc.calculation_required(silicon, ["forces"])
    np.testing.assert_allclose(silicon.get_forces(), forces, rtol=0, atol=TIGHT)


@pytest.mark.parametrize("skin", [0.0, 0.3, 1.0, 2.5])
def test_the_skin_changes_nothing_but_time(potential, silicon, skin):
    """Nor does wrapping, which hides a jump from minimum-image displacements."""
    padded, plain = SymCalc(potential, skin=skin), SymCalc(potential, skin=0.0)
    rng = np.random.default_rng(5)
    for step in range(12):
        silicon.positions += rng.normal(0, 0.06, silicon.positions.shape)
        if step % 3 == 2:
            silicon.wrap()
        if step % 4 == 3:
            silicon.set_cell(silicon.cell * 1.004, scale_atoms=True)
        forces = plain.get_property("forces", silicon)
        np.testing.assert_array_equal(padded.get_property("forces", silicon), forces)


def test_calculate_works_as_others_call_it(calc, silicon):
    """Directly, without `system_changes` (as ASE 4 does), or for the atoms of last time."""
    calc.calculate(silicon)
    energy = calc.results["energy"]
    calc.calculate(silicon, ["forces"], system_changes=["positions"])
    forces = calc.results["forces"]
    calc.calculate(properties=["forces"])
    np.testing.assert_array_equal(calc.results["forces"], forces)
    assert calc.get_potential_energy() == energy
    with pytest.raises(InputError, match="expected atoms, got none"):
        SymCalc(calc.parameters["potential"]).get_potential_energy()


def test_ase_4_calls_it_through_its_adaptor(potential, silicon):
    # older ASE has none
    adaptor = pytest.importorskip("ase._4.calculators.calculator").Version4Adaptor

    class Adapted(adaptor):
        wrapped_class = SymCalc

    results = Adapted(potential).evaluate(silicon, ["energy", "forces", "stress"])
    assert set(results.properties) == {*PROPERTIES, "natoms"}


def test_properties_can_be_asked_for_together(calc, silicon):
    silicon.calc = calc
    properties = silicon.get_properties(["energy", "forces", "stress"])
    np.testing.assert_array_equal(properties["forces"], silicon.get_forces())
    assert set(calc.export_properties()) == {*PROPERTIES, "natoms"}


@pytest.mark.parametrize(
    "name", ["si_cluster", "mo_isolated", "cu_wire", "ni_slab_without_third_vector"]
)
def test_stress_without_a_volume_is_refused_and_the_rest_works(calc, name):
    atoms = zoo()[name]
    atoms.calc = calc
    forces = atoms.get_forces()
    only = calc.evaluation
    for ask in (atoms.get_stress, atoms.get_stresses):
        with pytest.raises(PropertyNotImplementedError, match="stress needs a volume"):
            ask()
    assert not {"stress", "stresses"} & set(calc.results)
    np.testing.assert_array_equal(atoms.get_forces(), forces)
    assert calc.evaluation is only


def test_a_box_that_does_not_repeat_has_no_stress(calc):
    atoms = zoo()["si_cluster"]
    atoms.center(vacuum=5)
    atoms.calc = calc
    with pytest.raises(PropertyNotImplementedError, match="stress needs a volume"):
        atoms.get_stress()


def test_settings_change_by_name_and_drop_results_only_if_they_changed(calc, silicon):
    silicon.calc = calc
    energy = silicon.get_potential_energy()
    assert calc.set(skin=1.0, symmetry="auto") == {}
    assert calc.results
    assert calc.set(skin=0.5, symmetry=0.01) == {"skin": 0.5, "symmetry": 0.01}
    assert not calc.results
    assert silicon.get_potential_energy() == energy
    with pytest.raises(InputError, match="expected settings among potential, device"):
        calc.set(skn=1.0)


def test_a_refused_setting_changes_nothing(calc, silicon):
    energy = calc.get_property("energy", silicon)
    before = dict(calc.parameters)
    for bad in (
        {"skin": -1.0},
        {"symmetry": "on"},
        {"dtype": "float16"},
        {"skin": 0.1, "dtype": ""},
    ):
        with pytest.raises(InputError):
            calc.set(**bad)
        assert calc.parameters == before
    assert calc.results["energy"] == energy


def test_another_potential_can_be_set(potential_folder, other_folder, silicon):
    calc = SymCalc(potential_folder)
    first = calc.get_property("energy", silicon)
    calc.set(potential=other_folder)
    other = calc.get_property("energy", silicon)
    assert other == SymCalc(other_folder).get_property("energy", silicon)
    assert first != other


def test_its_settings_are_plain_data_that_make_it_again(potential_folder, other_folder, silicon):
    for potential in (potential_folder, [potential_folder, other_folder]):
        calc = SymCalc(potential, skin=0.5, symmetry=0.01)
        settings = json.loads(json.dumps(calc.todict()))
        assert set(settings) == {"potential", "skin", "symmetry"}
        again = SymCalc(**settings)
        assert again.get_property("energy", silicon) == calc.get_property("energy", silicon)
    assert set(calc.todict(skip_default=False)) == set(SymCalc.default_parameters)
    assert calc.name == "symcalc"


def test_one_calculator_serves_two_structures_in_turn(calc, silicon):
    other = zoo()["nimo_rocksalt"]
    alone = [
        SymCalc(calc.parameters["potential"]).get_property("forces", a) for a in (silicon, other)
    ]
    silicon.calc = other.calc = calc
    for _ in range(2):
        for atoms, forces in zip((silicon, other), alone, strict=True):
            np.testing.assert_array_equal(atoms.get_forces(), forces)


def test_it_adds_up_with_other_calculators(potential, silicon):
    one, total = SymCalc(potential), SumCalculator([SymCalc(potential), SymCalc(potential)])
    for name in ("energy", "forces", "stress"):
        np.testing.assert_allclose(
            total.get_property(name, silicon), 2 * one.get_property(name, silicon), atol=TIGHT
        )


def test_ases_own_finite_differences_agree(calc, silicon):
    numerical = FiniteDifferenceCalculator(calc, eps_disp=2e-5, eps_strain=2e-5)
    forces, stress = (numerical.get_property(name, silicon) for name in ("forces", "stress"))
    np.testing.assert_allclose(
        calc.get_property("forces", silicon), forces, atol=DERIVATIVE * np.abs(forces).max()
    )
    np.testing.assert_allclose(
        calc.get_property("stress", silicon), stress, atol=DERIVATIVE * np.abs(stress).max()
    )


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_a_callers_context_changes_nothing(potential_folder, silicon, context):
    expected = SymCalc(potential_folder).get_property("forces", silicon)
    with context():
        made_inside = SymCalc(potential_folder)
        np.testing.assert_array_equal(made_inside.get_property("forces", silicon), expected)
        result = evaluate(silicon, potential_folder)[0]
        hessian = made_inside.get_hessian(silicon)
        features = made_inside.get_descriptors(silicon)
    np.testing.assert_array_equal(result.forces, expected)
    np.testing.assert_array_equal(made_inside.get_hessian(silicon), hessian)
    np.testing.assert_array_equal(made_inside.get_descriptors(silicon), features)
    silicon.rattle(0.01)
    made_inside.get_property("forces", silicon)


def test_numpys_error_settings_change_nothing(potential_folder, silicon):
    calc = SymCalc(potential_folder, dtype="float32")
    silicon.rattle(0.05)
    expected = calc.get_property("forces", silicon)
    with np.errstate(all="raise"):
        again = SymCalc(potential_folder, dtype="float32").get_property("forces", silicon)
    np.testing.assert_array_equal(again, expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_torchs_default_dtype_changes_nothing(potential_folder, silicon, dtype):
    expected = SymCalc(potential_folder).get_property("forces", silicon)
    torch.set_default_dtype(dtype)
    try:
        calc = SymCalc(potential_folder)
        np.testing.assert_array_equal(calc.get_property("forces", silicon), expected)
        calc.get_hessian(silicon)
    finally:
        torch.set_default_dtype(torch.float32)


def test_an_isolated_atom_and_a_molecule_need_no_cell(calc):
    for atoms in (Atoms("Li"), Atoms("Si2", [(0, 0, 0), (0, 0, 2.3)])):
        atoms.calc = calc
        assert np.isfinite(atoms.get_potential_energy())
        assert np.abs(atoms.get_forces().sum(axis=0)).max() < TIGHT


def test_what_is_handed_out_together_may_be_written_to(calc, silicon):
    silicon.calc = calc
    forces = silicon.get_forces()
    silicon.get_properties(["energy", "forces"])["forces"][:] = 7.0
    calc.export_properties()["forces"][:] = 7.0
    np.testing.assert_array_equal(silicon.get_forces(), forces)


def test_constraints_are_left_to_ase(calc, silicon):
    from ase.constraints import FixAtoms

    silicon.calc = calc
    free = silicon.get_forces()
    silicon.set_constraint(FixAtoms([0]))
    np.testing.assert_array_equal(silicon.get_forces()[1:], free[1:])
    assert not silicon.get_forces()[0].any()
    np.testing.assert_allclose(silicon.get_forces(apply_constraint=False), free, atol=EXACT)
