"""Relaxations in lock-step: each as if it were alone."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms, FixBondLength
from ase.filters import FrechetCellFilter

from ase_symcalc import SymCalc
from ase_symcalc.apps import relax, relax_many
from ase_symcalc.apps.lockstep_cell import deformations, strain_forces
from ase_symcalc.errors import InputError

KINDS = (("Cu", "fcc", 3.7), ("Ni", "fcc", 3.45), ("Mo", "bcc", 3.1), ("Si", "diamond", 5.5))


def shaken(n):
    """Crystals of one to eight atoms, none at rest."""
    structures = []
    for seed in range(n):
        symbol, kind, a = KINDS[seed % len(KINDS)]
        atoms = bulk(symbol, kind, a=a, cubic=seed % 3 > 0)
        strain = np.random.default_rng(seed).normal(scale=0.02, size=(3, 3))
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
        atoms.rattle(0.08, seed=seed)
        structures.append(atoms)
    return structures


@pytest.fixture(scope="module")
def slab():
    atoms = fcc111("Cu", (1, 1, 3), vacuum=5.0, a=3.55)
    atoms.rattle(0.05, seed=1)
    atoms.set_constraint(FixAtoms([0]))
    return atoms


def test_minima_are_those_of_one_relaxation_after_another(slab):
    dimer = Atoms("Cu2", [[0, 0, 0], [0.1, 0.2, 2.6]])
    structures = [*shaken(4), slab, dimer]
    before = [atoms.copy() for atoms in structures]
    results = list(relax_many(structures, fmax=0.002))
    assert [result.index for result in results] == list(range(6))
    assert structures == before
    for atoms, result in zip(structures, results, strict=True):
        atoms = atoms.copy()
        atoms.calc = SymCalc()
        single = relax(atoms, fmax=0.002)
        assert result.converged
        assert result.error is None
        assert result.energy == pytest.approx(single.energies[-1], abs=2e-4 * len(atoms))
        # what it says of the last structure is so
        again = result.atoms.copy()
        again.calc = SymCalc()
        assert again.get_potential_energy() == pytest.approx(result.energy, abs=1e-8)
        assert np.linalg.norm(again.get_forces(), axis=1).max() == pytest.approx(
            result.fmax, abs=1e-8
        )
        assert result.atoms.get_potential_energy() == result.energy
    assert np.array_equal(results[4].atoms.cell[2], slab.cell[2])
    assert results[5].max_stress is None


@pytest.mark.parametrize("optimizer", ["LBFGS", "FIRE"])
def test_neighbours_in_the_batch_change_nothing(optimizer):
    structures = shaken(4)
    options = {"fmax": 0.05, "optimizer": optimizer}
    together = list(relax_many(structures, **options))
    crowded = list(relax_many(structures, max_edges=1500, **options))
    backwards = list(relax_many(structures[::-1], **options))[::-1]
    alone = [next(relax_many([atoms], **options)) for atoms in structures]
    for every in zip(together, crowded, backwards, alone, strict=True):
        assert len({result.steps for result in every}) == 1
        for result in every[1:]:
            assert result.energy == pytest.approx(every[0].energy, abs=1e-7)
            assert np.allclose(result.atoms.positions, every[0].atoms.positions, atol=1e-6)


def test_structures_that_fail_say_so_and_stop_no_others():
    good = shaken(2)
    lost = bulk("Cu", cubic=True)
    lost.positions[1] = np.nan
    touching = Atoms("Cu2", [[0, 0, 0], [0, 0, 0.01]])
    unknown = bulk("Au")
    held = molecule("H2O")
    held.symbols[:] = "Cu"
    held.set_constraint(FixBondLength(0, 1))
    flat = Atoms("Cu", cell=[3, 3, 0], pbc=(1, 1, 0))
    structures = [lost, good[0], touching, unknown, held, flat, Atoms(), good[1]]
    results = list(relax_many(structures))
    assert [r.converged for r in results] == [False, True, False, False, False, False, False, True]
    words = ["atom 1", "apart", "Au", "FixBondLength", "needs a volume", "no atoms"]
    failed = [result for result in results if not result.converged]
    for word, result in zip(words, failed, strict=True):
        assert word in result.error
        assert result.energy is None
    assert results[1].energy == pytest.approx(next(relax_many(good)).energy, abs=1e-7)


def test_structures_are_taken_when_there_is_room():
    taken = []

    def structures():
        for atoms in shaken(5):
            taken.append(len(taken))
            yield atoms

    results = relax_many(structures(), max_edges=1)
    assert taken == []
    next(results)
    assert len(taken) <= 3
    assert len(list(results)) == 4


def test_cell_is_kept_if_asked_to_and_steps_are_counted():
    _, atoms = shaken(2)
    (result,) = relax_many([atoms], cell=False, max_steps=1)
    assert not result.converged
    assert result.steps == 1
    assert result.max_stress is None
    assert np.array_equal(result.atoms.cell.array, atoms.cell.array)
    assert list(relax_many([])) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fmax": 0.0}, "fmax"),
        ({"max_steps": -1}, "max_steps"),
        ({"optimizer": "BFGS"}, "LBFGS, FIRE"),
        ({"max_edges": 0}, "max_edges"),
    ],
)
def test_arguments_without_meaning_are_refused_at_once(options, words):
    with pytest.raises(InputError, match=words):
        relax_many([], **options)
    with pytest.raises(InputError, match="in a list"):
        relax_many(bulk("Cu"))


def test_forces_on_strain_are_those_of_ase():
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=3)
    atoms.calc = EMT()
    target = FrechetCellFilter(atoms, exp_cell_factor=1.0)
    strain = np.random.default_rng(1).normal(scale=0.1, size=(3, 3))
    # its last rows are log(F n_atoms)
    target.set_positions(target.get_positions() + np.concatenate([np.zeros((4, 3)), strain]))
    virial = atoms.get_volume() * atoms.get_stress(voigt=False)
    deformed = deformations(strain[None])
    assert np.allclose(atoms.cell.array, bulk("Cu", cubic=True).cell.array @ deformed[0].T)
    ours = strain_forces(strain[None], deformed, virial[None])[0]
    assert np.allclose(ours, target.get_forces()[-3:], atol=1e-10)
