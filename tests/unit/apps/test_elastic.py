"""Elastic constants: one method against the other, crystals that turn, are pressed, or give way."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.calculators.morse import MorsePotential
from matplotlib.image import imread
from scipy.spatial.transform import Rotation

from ase_symcalc import SymCalc
from ase_symcalc.apps import elastic, relax
from ase_symcalc.apps.elastic import METHODS
from ase_symcalc.apps.elastic_analytic import primitive, stress_terms
from ase_symcalc.apps.elastic_plot import plot_elastic
from ase_symcalc.apps.elastic_tensor import turned
from ase_symcalc.errors import InputError
from tests.unit.apps.test_relax import NoStress

TURN = Rotation.from_rotvec((0.4, -0.9, 0.6)).as_matrix()


def with_calculator(atoms, calculator):
    atoms.calc = calculator
    return atoms


def copper():
    return with_calculator(bulk("Cu", a=3.58988), EMT())


@pytest.fixture(scope="module")
def silicon():
    """Primitive, at the minimum of the shipped potential."""
    return relax(with_calculator(bulk("Si"), SymCalc()), fmax=1e-3).atoms


@pytest.fixture(scope="module")
def found(silicon):
    """Silicon's constants by either method."""
    return {method: elastic(silicon, method=method) for method in METHODS}


@pytest.fixture(scope="module")
def germanium():
    """Hexagonal, with internal coordinates that strain sets free, under shear stress."""
    atoms = with_calculator(_lonsdaleite(4.08, 6.5), SymCalc())
    return relax(atoms, fmax=1e-4, cell=False).atoms


def _lonsdaleite(a, c):
    places = [(1 / 3, 2 / 3, u) for u in (0.0625, 0.4375)] + [
        (2 / 3, 1 / 3, u) for u in (0.5625, 0.9375)
    ]
    cell = [(a, 0, 0), (-a / 2, a * np.sqrt(3) / 2, 0), (0, 0, c)]
    return Atoms("Ge4", scaled_positions=places, cell=cell, pbc=True)


def test_cubic_constants_come_from_one_strain():
    result = elastic(copper())
    c = result.constants
    assert len(result.strains) == 1
    assert result.n_constants == 3
    assert result.space_group == "Fm-3m (225)"
    expected = np.diag([c[0, 0]] * 3 + [c[3, 3]] * 3)
    expected[:3, :3] += c[0, 1] * (1 - np.eye(3))
    np.testing.assert_allclose(c, expected, atol=1e-9)
    np.testing.assert_allclose(result.standard, c, atol=1e-6)
    assert result.residual < 1e-4
    assert result.stable
    assert result.converged
    assert result.stress_free
    low, *_, high = result.eigenvalues
    assert low == pytest.approx(c[0, 0] - c[0, 1])
    assert high == pytest.approx(c[0, 0] + 2 * c[0, 1])


def test_constants_are_second_derivatives_of_the_energy():
    atoms = copper()
    constants = elastic(atoms).constants
    rng = np.random.default_rng(0)
    strain = rng.uniform(-1, 1, (3, 3))
    strain = (strain + strain.T) / 2
    energies = []
    for amplitude in (-2e-3, 0, 2e-3):
        moved = with_calculator(atoms.copy(), EMT())
        moved.set_cell(atoms.cell.array @ (np.eye(3) + amplitude * strain), scale_atoms=True)
        energies.append(moved.get_potential_energy())
    curvature = (energies[0] - 2 * energies[1] + energies[2]) / 4e-6 / atoms.get_volume()
    six = strain[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]] * [1, 1, 1, 2, 2, 2]
    assert curvature * 160.21766208 == pytest.approx(six @ constants @ six, rel=1e-3)


def test_both_methods_agree(found):
    strained, analytic = found["strain"], found["analytic"]
    for name in ("clamped", "relaxed"):
        one, other = getattr(strained, name), getattr(analytic, name)
        np.testing.assert_allclose(one, other, atol=0.1)
    assert analytic.residual < 1e-6
    assert analytic.softest_mode > 1
    assert strained.softest_mode is None
    assert strained.relaxed[3, 3] < strained.clamped[3, 3] - 5
    assert strained.stress_free


def test_both_methods_agree_under_any_stress(germanium):
    strained, analytic = (elastic(germanium, method=method) for method in METHODS)
    assert strained.n_constants == 5
    assert not strained.stress_free
    assert np.ptp(np.linalg.eigvalsh(strained.stress)) > 2  # GPa, ten times the tolerance
    np.testing.assert_allclose(strained.clamped, analytic.clamped, atol=0.2)
    np.testing.assert_allclose(strained.relaxed, analytic.relaxed, atol=0.2)


@pytest.mark.parametrize("method", ["strain", "analytic"])
def test_a_turned_crystal_has_turned_constants(germanium, method):
    atoms = germanium.copy()
    atoms.set_cell(germanium.cell.array @ TURN.T, scale_atoms=True)
    atoms.calc = germanium.calc
    how = {"method": method, "amplitudes": (0.002,)}
    before, after = elastic(germanium, **how), elastic(atoms, **how)
    for name in ("clamped", "relaxed"):
        expected = turned(getattr(before, name), TURN)
        np.testing.assert_allclose(getattr(after, name), expected, atol=0.02)
    np.testing.assert_allclose(after.standard, before.standard, atol=0.02)
    np.testing.assert_allclose(before.standard, before.constants, atol=0.02)
    np.testing.assert_allclose(after.eigenvalues, before.eigenvalues, atol=0.02)


@pytest.mark.parametrize("method", METHODS)
def test_a_supercell_has_the_same_constants(silicon, found, method):
    large = with_calculator(silicon * (2, 1, 1), silicon.calc)
    constants = elastic(large, method=method).relaxed
    np.testing.assert_allclose(constants, found[method].relaxed, atol=0.02)
    assert len(primitive(large, 1e-3)) == 2


def test_symmetry_of_the_calculator_changes_nothing(silicon, found):
    free = with_calculator(silicon.copy(), SymCalc(symmetry="off"))
    np.testing.assert_allclose(elastic(free).relaxed, found["strain"].relaxed, atol=0.02)


def test_crystal_without_symmetry():
    atoms = bulk("Cu", cubic=True)
    atoms.symbols[0] = "Ag"
    atoms.symbols[1] = "Au"
    shear = np.array([(1.06, 0.03, 0.02), (0, 1.06, 0.05), (0, 0, 1.06)])
    atoms.set_cell(atoms.cell.array @ shear, scale_atoms=True)
    atoms.rattle(0.03, seed=1)
    atoms.calc = EMT()
    at_rest = relax(atoms, fmax=1e-3, cell=False).atoms
    result = elastic(at_rest, amplitudes=(0.005,))
    assert result.n_constants == 21
    assert len(result.strains) == 6
    assert result.converged
    np.testing.assert_array_equal(result.constants, result.constants.T)


def test_clamped_ions_only(silicon, found):
    both, fixed = found["strain"], elastic(silicon, clamped=True)
    assert fixed.relaxed is None
    np.testing.assert_allclose(fixed.constants, both.clamped, atol=1e-6)
    analytic = elastic(silicon, clamped=True, method="analytic")
    assert analytic.relaxed is None
    np.testing.assert_allclose(analytic.constants, fixed.constants, atol=0.1)


def test_every_strained_crystal_is_told_and_the_input_left_alone(silicon):
    before, seen = silicon.copy(), []
    elastic(silicon, on_step=seen.append)
    assert silicon == before
    assert [step.done for step in seen] == list(range(1, 7))
    assert {step.total for step in seen} == {6}
    assert all(step.converged for step in seen)
    assert abs(np.linalg.eigvalsh(seen[-1].strain)).max() == pytest.approx(0.01)


def test_steps_run_out(silicon):
    assert not elastic(silicon, max_steps=0).converged


def test_pair_forces_without_stress_obey_cauchy():
    """C12 = C44 for central forces in a crystal without stress where atoms are centres."""
    atoms = relax(with_calculator(bulk("Ar", a=5.2), LennardJones(sigma=3.4, rc=10)), fmax=1e-6)
    c = elastic(atoms.atoms).constants
    assert c[0, 1] == pytest.approx(c[3, 3], rel=1e-3)


def test_a_crystal_that_gives_way():
    """Simple cubic with forces between neighbours only: nothing resists a shear."""
    calculator = MorsePotential(rho0=6, epsilon=1, r0=2.5, rcut1=2.9, rcut2=3.2)
    result = elastic(with_calculator(bulk("Cu", "sc", a=2.5), calculator))
    assert not result.stable or result.eigenvalues[0] < 1e-3 * result.eigenvalues[-1]
    pressed = elastic(with_calculator(bulk("Cu", "sc", a=2.45), calculator))
    assert not pressed.stable
    assert pressed.moduli is None


def test_picture(tmp_path):
    for name, atoms in (
        ("copper", copper()),
        ("pressed", with_calculator(bulk("Cu", "sc", a=2.3), EMT())),
    ):
        plot_elastic(elastic(atoms), tmp_path / f"{name}.png", title=name)
        assert imread(tmp_path / f"{name}.png").std() > 0.05


def test_stress_terms_of_a_pressure():
    """B = C + P [[-1, 1, 1, ...], ..., [..., -1]]: from the derivatives by a Lagrangian strain."""
    terms = stress_terms(-2.0 * np.eye(3))
    expected = np.diag([-2.0 + 2.0] * 3 + [-1.0] * 3) + 0.0
    expected[:3, :3] += 2.0 * (1 - np.eye(3))
    np.testing.assert_allclose(terms, expected, atol=1e-12)


def test_structure_that_is_not_at_a_minimum(silicon):
    atoms = with_calculator(silicon.copy(), silicon.calc)
    atoms.rattle(0.02, seed=0)
    with pytest.raises(InputError, match=r"not at one: the largest force is .*--relax"):
        elastic(atoms)


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        (Atoms(), "at least one atom"),
        (molecule("N2"), "this is a molecule"),
        (fcc111("Cu", (1, 1, 3), vacuum=6), "this is a slab"),
        (fcc111("Cu", (1, 1, 3), vacuum=6, periodic=True), r"12\.0 Å along c hold no atom"),
    ],
)
def test_what_is_no_crystal(atoms, message):
    with pytest.raises(InputError, match=message):
        elastic(with_calculator(atoms, EMT()))


def test_calculators_that_cannot():
    with pytest.raises(InputError, match="need the stress, which this calculator does not"):
        elastic(with_calculator(bulk("Cu"), NoStress()))
    with pytest.raises(InputError, match="only SymCalc has, not EMT; use method='strain'"):
        elastic(copper(), method="analytic")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "energy"}, "method to be one of strain, analytic; got 'energy'"),
        ({"amplitudes": ()}, "amplitudes of strain from 1e-5 to 0.05"),
        ({"amplitudes": (0.2,)}, "amplitudes of strain from 1e-5 to 0.05"),
        ({"fmax": -1.0}, "expected fmax above 0 eV/Å"),
        ({"max_steps": -1}, "max_steps of 0 or more"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(InputError, match=message):
        elastic(copper(), **arguments)
