"""`neb`: barriers that are known, paths that are refused, and paths that go on."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import add_adsorbate, bulk, fcc100, molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms
from ase.io import read
from matplotlib.image import imread

from ase_symcalc import SymCalc
from ase_symcalc.apps import neb, saddle
from ase_symcalc.apps.neb_plot import plot_path
from ase_symcalc.apps.saddle import softest_modes
from ase_symcalc.errors import InputError, NumericalError

HEIGHT, TILT, BEND = 0.8, 0.1, 0.5


class Valley(Calculator):
    """Two wells at x = ±1 Å and a curved valley between them, felt by the first atom."""

    implemented_properties = ("energy", "forces")

    def __init__(self, tilt=0.0):
        super().__init__()
        self.tilt, self.n_calls = tilt, 0

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.n_calls += 1
        x, y, z = self.atoms.positions[0]
        away = y - BEND * (x**2 - 1)
        energy = HEIGHT * (x**2 - 1) ** 2 + self.tilt * x + 3 * away**2 + 3 * z**2
        slope = [
            4 * HEIGHT * x * (x**2 - 1) + self.tilt - 6 * away * 2 * BEND * x, 6 * away, 6 * z
        ]  # fmt: skip
        forces = np.zeros((len(self.atoms), 3))
        forces[0] = -np.array(slope)
        self.results = {"energy": energy, "forces": forces}


def valley_ends(tilt=0.0):
    """The wells; the second atom only says that space is not empty."""
    ends = [Atoms("H2", [(x, 0, 0), (0, 0, 5)], constraint=FixAtoms([1])) for x in (-1, 1)]
    ends[0].calc = Valley(tilt)
    return ends


def vacancy_ends(calculator=None):
    """A vacancy in copper, and the same after a neighbour has jumped into it."""
    crystal = bulk("Cu", a=3.6, cubic=True) * (2, 2, 2)
    jump = crystal.get_distances(0, range(1, 32), mic=True).argmin() + 1
    ends = [crystal.copy(), crystal.copy()]
    ends[1].positions[jump] = crystal.positions[0]
    for end in ends:
        del end[0]
    ends[0].calc = calculator or EMT()
    return ends


@pytest.mark.parametrize("optimizer", ["ODE", "FIRE"])
def test_analytic_barrier(optimizer):
    result = neb(valley_ends(), fmax=1e-3, optimizer=optimizer, check_saddle=True)
    assert result.converged
    assert result.climbed
    assert result.barrier_forward == pytest.approx(HEIGHT, abs=1e-5)
    assert result.barrier_backward == pytest.approx(HEIGHT, abs=1e-5)
    assert result.reaction_energy == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(result.images[result.saddle].positions[0], [0, -BEND, 0], atol=1e-3)
    assert result.imaginary_modes == 1
    assert result.warnings == ()
    assert result.fmax < 1e-3


def test_unequal_wells():
    result = neb(valley_ends(TILT), n_images=7, fmax=1e-3)
    x = np.linspace(-1.5, 1.5, 300001)  # along the floor of the valley
    floor = HEIGHT * (x**2 - 1) ** 2 + TILT * x
    left, right = floor[x < 0].min(), floor[x > 0.5].min()
    top = floor[abs(x) < 0.5].max()
    assert result.barrier_forward == pytest.approx(top - left, abs=1e-5)
    assert result.barrier_backward == pytest.approx(top - right, abs=1e-5)
    assert result.reaction_energy == pytest.approx(right - left, abs=1e-5)


def test_without_climbing_the_barrier_is_interpolated():
    result = neb(valley_ends(), n_images=4, climb=False, fmax=1e-3)
    assert not result.climbed
    assert result.modes is None
    assert result.energies.max() - result.energies[0] < HEIGHT - 0.05  # no image on top
    assert result.barrier_forward == pytest.approx(HEIGHT, abs=0.02)
    assert result.saddle_path == pytest.approx(result.path[-1] / 2, abs=0.05)


def test_vacancy_hops_as_far_up_as_down():
    ends = vacancy_ends()
    before = [end.copy() for end in ends]
    seen = []
    result = neb(ends, check_saddle=True, on_step=seen.append)
    assert [end == old for end, old in zip(ends, before, strict=True)] == [True, True]
    assert result.converged
    assert result.barrier_forward == pytest.approx(result.barrier_backward, abs=1e-6)
    assert 0.6 < result.barrier_forward < 0.9
    assert result.saddle == 3
    assert result.imaginary_modes == 1
    assert [step.stage for step in seen if step.step == 0] == [
        "first end", "last end", "path", "climbing"
    ]  # fmt: skip
    assert seen[-1].barrier == pytest.approx(result.barrier_forward)
    on_path = [step for step in seen if step.stage in ("path", "climbing")]
    assert sum(step.step > 0 for step in on_path) == result.steps
    pushes = [step.step for step in seen if step.stage == "saddle"]
    assert pushes == list(range(1, len(pushes) + 1))
    assert len(pushes) > 20
    for image in result.images:  # read by anything that reads ASE
        assert image.get_forces().shape == (31, 3)


def test_symcalc_gives_the_saddle_and_counts_its_modes(tmp_path):
    crystal = bulk("Li", a=3.44, cubic=True) * (2, 2, 2)
    ends = [crystal.copy(), crystal.copy()]
    ends[1].positions[1] = crystal.positions[0]
    for end in ends:
        del end[0]
    ends[0].calc = SymCalc()
    result = neb(ends)
    assert result.converged
    assert result.barrier_forward == pytest.approx(result.barrier_backward, abs=1e-6)
    assert result.imaginary_modes == 1
    highest = result.images[result.saddle].copy()
    highest.calc = ends[0].calc
    assert highest.get_potential_energy() == pytest.approx(result.energies.max(), abs=1e-6)
    masses = np.repeat(highest.get_masses(), 3)
    hessian = highest.calc.get_hessian(highest).reshape(45, 45) / np.sqrt(np.outer(masses, masses))
    values = np.linalg.eigvalsh(hessian)
    assert (values < -1e-3).sum() == 1
    assert result.modes[0] == pytest.approx(-np.sqrt(-values[0]) * 15.6333, rel=1e-3)
    plot_path(result, tmp_path / "path.png", title="lithium")
    assert imread(tmp_path / "path.png").std() > 0.05


def test_modes_are_the_same_by_iteration(monkeypatch):
    atoms = bulk("Cu", a=4.3, cubic=True) * (2, 2, 1)  # torn, so that several modes go down
    atoms.rattle(0.1, seed=1)
    atoms.calc = EMT()
    by_iteration = softest_modes(atoms)
    monkeypatch.setattr(saddle, "FEW_ATOMS", 20)
    directly = softest_modes(atoms)
    assert directly.max() < -0.3
    np.testing.assert_allclose(by_iteration, directly, rtol=1e-2)


def test_constraints_of_the_first_hold():
    slab = fcc100("Al", (2, 2, 2), vacuum=6)
    add_adsorbate(slab, "Au", 1.7, "hollow")
    slab.set_constraint(FixAtoms(range(8)))
    other = slab.copy()
    other.set_constraint()
    other.positions[-1, 0] += slab.cell[0, 0] / 2
    slab.calc = EMT()
    result = neb([slab, other], check_saddle=True)
    assert result.barrier_forward == pytest.approx(result.barrier_backward, abs=1e-4)
    assert result.imaginary_modes == 1
    for image in result.images:
        np.testing.assert_allclose(image.positions[:8], slab.positions[:8], atol=1e-12)


def test_atoms_go_the_shortest_way_through_the_faces_of_the_cell():
    ends = vacancy_ends()
    ends[1].positions += ends[1].cell.array[0]
    ends[1].wrap()
    result = neb(ends, climb=False, fmax=0.1)
    assert result.path[-1] < 4


def test_free_molecules_are_turned_onto_each_other():
    ammonia = molecule("NH3")
    turned = ammonia.copy()
    turned.positions[:, 2] *= -1  # inverted
    turned.rotate(20, "x")
    turned.translate((3, 2, 1))
    ammonia.calc = EMT()
    result = neb([ammonia, turned], climb=False, fmax=0.5, max_steps=1, relax_ends=False)
    assert result.path[-1] < 2.5


def test_more_images_start_from_that_path(tmp_path):
    rough = neb(vacancy_ends(), max_steps=2, trajectory=tmp_path / "path.traj")
    assert not rough.converged
    path = read(tmp_path / "path.traj", ":")
    assert len(path) == 7
    np.testing.assert_array_equal(path[3].positions, rough.images[3].positions)
    assert path[3].get_potential_energy() == pytest.approx(rough.energies[3])
    path[0].calc = EMT()
    result = neb(path, n_images=99)
    assert result.converged
    assert len(result.images) == 7
    assert result.barrier_forward == pytest.approx(neb(vacancy_ends()).barrier_forward, abs=2e-3)


def test_shared_calculator_computes_each_image_once_per_step():
    ends = valley_ends()
    result = neb(ends, n_images=3, relax_ends=False, climb=False, fmax=1e-3)
    tried = ends[0].calc.n_calls
    assert tried <= 3 * (2 * result.steps + 2) + 4


def refused(images, **options):
    with pytest.raises(InputError) as caught:
        neb(images, **options)
    return str(caught.value)


def test_ends_that_are_not_the_same_atoms():
    first, last = vacancy_ends()
    assert "Cu31, structure 2 is Cu30" in refused([first, last[:-1]])
    other = last.copy()
    other.cell[0, 0] += 0.1
    assert "the same cell" in refused([first, other])
    other = last.copy()
    other.pbc = False
    assert "along the same directions" in refused([first, other])
    other = last.copy()
    other.positions[3, 1] = np.nan
    assert "no numbers" in refused([first, other])


def test_one_structure_twice():
    first, last = vacancy_ends()
    assert "the two ends are one structure" in refused([first, first.copy()])
    last = first.copy()
    last.positions[0] += 0.3
    assert "both ends relax to the same structure" in refused([first, last])


def test_atoms_in_another_order():
    first, last = vacancy_ends()
    other = last[[*range(9, 31), *range(9)]]
    words = refused([first, other])
    assert "different orders" in words
    assert "order='nearest'" in words
    mended = neb([first, other], order="nearest", climb=False, fmax=0.1)
    assert mended.path[-1] < 4
    first.symbols[[4, 7]] = "Ag"
    other = first.copy()
    other.symbols = "Cu"
    other.symbols[[4, 8]] = "Ag"
    assert "atom 8 is Ag in the first and Cu in the last" in refused([first, other])


def test_atoms_may_change_places_if_told_so():
    first, last = vacancy_ends()
    last.positions[[3, 4]] = last.positions[[4, 3]]
    assert "different orders" in refused([first, last])
    words = refused([first, last], order="keep", relax_ends=False)
    assert "atoms 4 and 5 run into each other (image 3)" in words
    result = neb([first, last], order="keep", n_images=4, max_steps=0, relax_ends=False)
    assert result.path[-1] > 4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_images": 0}, "at least one image"),
        ({"interpolation": "cubic"}, "there is no interpolation 'cubic'"),
        ({"order": "any"}, "expected order to be one of"),
        ({"fmax": 0.0}, "fmax above 0"),
        ({"fmax": float("inf")}, "fmax above 0"),
        ({"max_steps": -1}, "max_steps of 0 or more"),
        ({"optimizer": "BFGS"}, "no optimizer 'BFGS' for paths"),
    ],
)
def test_argument_without_meaning(options, words):
    assert words in refused(valley_ends(), **options)


def test_too_little_given():
    first, last = valley_ends()
    assert "got 1 structure" in refused([first])
    assert "no calculator" in refused([last, first])
    empty = Atoms()
    empty.calc = EMT()
    assert "at least one atom" in refused([empty, empty])


def test_ends_that_are_kept_but_pushed_are_named():
    first, last = valley_ends()
    last.positions[0, 1] += 0.1
    result = neb([first, last], relax_ends=False, climb=False, fmax=0.5)
    assert not result.converged
    assert "the last end is not at a minimum: a force is 0.8" in result.warnings[0]


def test_path_without_a_barrier():
    first, last = valley_ends()
    last.positions[0] = (-0.4, BEND * (0.16 - 1), 0)
    result = neb([first, last], relax_ends=False, fmax=0.05)
    assert any("the highest image is an end" in sentence for sentence in result.warnings)
    assert not result.climbed


def test_numbers_that_are_none():
    class Broken(Valley):
        def calculate(self, *args, **kwargs):
            super().calculate(*args, **kwargs)
            if abs(self.atoms.positions[0, 0]) < 0.9:
                self.results["energy"] = np.nan

    ends = valley_ends()
    ends[0].calc = Broken()
    with pytest.raises(NumericalError, match="energies of the images"):
        neb(ends)
