"""What LAMMPS would ask, asked by objects that look like its data."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

from ase_symcalc import SymCalc, load_potential
from ase_symcalc.errors import InputError, PotentialFileError
from ase_symcalc.integrations.mliap import MLIAPPotential
from ase_symcalc.structures import from_ase, neighbour_pairs
from tests.ghosts import with_image_ghosts
from tests.tolerances import TIGHT
from tests.zoo import zoo


class Plain:
    """``MLIAPDataPy`` of a build without Kokkos: results can only be set."""

    def __init__(self, atoms, symbols, cutoff):
        seen = with_image_ghosts(atoms, cutoff)
        self.seen, self.nlocal, self.nlistatoms = seen, len(atoms), len(atoms)
        self.ntotal, self.npairs = len(seen.atomic_numbers), len(seen.centre)
        numbers = Atoms(symbols).numbers
        self.elems = np.searchsorted(numbers, seen.atomic_numbers).astype(np.int32)
        # by neighbour, not by centre: LAMMPS promises no order
        self.order = np.argsort(seen.neighbour, kind="stable")
        self.rij = seen.edge_vectors[self.order]
        self.pair_i, self.pair_j = (
            index[self.order].astype(np.int32) for index in (seen.centre, seen.neighbour)
        )
        self.given = {}

    def __setattr__(self, name, value):
        if name in ("eatoms", "energy"):
            self.given[name] = np.array(value)
        else:
            super().__setattr__(name, value)

    def update_pair_forces(self, forces):
        assert forces.dtype == np.float64
        assert forces.flags.c_contiguous
        self.given["gradient"] = np.empty_like(forces)
        self.given["gradient"][self.order] = forces

    def forces(self):
        return self.seen.forces(self.given["gradient"])


class Kokkos(Plain):
    """The same with Kokkos: an array of energies to fill, and rows exchanged."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.room = np.full(self.nlocal, np.nan)

    @property
    def eatoms(self):
        return self.room

    def update_pair_forces(self, forces):
        raise AssertionError

    def update_pair_forces_gpu(self, forces):
        super().update_pair_forces(forces.numpy())

    def forward_exchange(self, rows, out, dim):
        assert rows.is_contiguous()
        assert rows.shape == out.shape == (self.ntotal, dim)
        assert not rows[self.nlocal :].any()
        out.copy_(rows)
        self.seen.exchange.fill(out.numpy())

    def reverse_exchange(self, rows, out, dim):
        out.copy_(rows)
        self.seen.exchange.fold(out.numpy())


class Empty:
    """A process without atoms: nothing has an address."""

    nlocal = nlistatoms = ntotal = npairs = 0
    rij = pair_i = pair_j = elems = None

    def __init__(self):
        self.calls, self.energy = "", None

    @property
    def eatoms(self):
        raise ValueError("attempt to set NULL eatoms")

    def forward_exchange(self, rows, out, dim):
        assert rows.shape == out.shape == (0, dim)
        self.calls += "+"

    def reverse_exchange(self, rows, out, dim):
        self.calls += "-"

    def update_pair_forces_gpu(self, forces):
        raise AssertionError


@pytest.fixture
def mliap(potential):
    return MLIAPPotential(potential)


@pytest.mark.parametrize(
    "name", ["cu_fcc_one_atom", "nimo_rocksalt", "ni_slab", "si_cluster", "mo_isolated"]
)
def test_it_is_what_symcalc_says(mliap, potential, name):
    atoms = zoo()[name]
    data = Kokkos(atoms, mliap.element_types, 2 * mliap.rcutfac)
    mliap.compute_forces(data)
    assert data.seen.exchange.calls == "+-"
    atoms.calc = SymCalc(potential, symmetry="off")
    np.testing.assert_allclose(data.room, atoms.get_potential_energies(), rtol=0, atol=TIGHT)
    assert data.given["energy"] == pytest.approx(atoms.get_potential_energy(), abs=TIGHT)
    if data.npairs:
        np.testing.assert_allclose(data.forces(), atoms.get_forces(), rtol=0, atol=TIGHT)
    else:
        assert "gradient" not in data.given


def test_layers_decide_how_often_rows_are_exchanged():
    exported = MLIAPPotential("pbe16")
    data = Kokkos(bulk("Si"), exported.element_types, 2 * exported.rcutfac)
    exported.compute_forces(data)
    n = load_potential("pbe16").model.num_layers - 1
    assert data.seen.exchange.calls == n * "+" + n * "-"


def test_a_process_without_atoms_takes_part(mliap):
    data = Empty()
    mliap.compute_forces(data)
    assert data.calls == "+-"
    assert data.energy == 0


class ManyGhosts(Plain):
    """``pair_style mliap unified FILE 1``: ghosts have neighbours too, as far as they are known."""

    def __init__(self, atoms, symbols, cutoff, n_layers):
        arrays = from_ase(atoms)
        far = neighbour_pairs(arrays.positions, arrays.cell, arrays.pbc, n_layers * cutoff)
        across = far.unit_shifts.any(axis=1)
        images = np.unique(np.column_stack([far.neighbour, far.unit_shifts])[across], axis=0)
        n = len(atoms)
        positions = arrays.positions[images[:, 0]] + images[:, 1:] @ arrays.cell
        everything = Atoms(
            numbers=np.concatenate([atoms.numbers, atoms.numbers[images[:, 0]]]),
            positions=np.vstack([arrays.positions, positions]),
        )
        super().__init__(everything, symbols, cutoff)
        self.nlocal = self.nlistatoms = n
        self.owner = np.concatenate([np.arange(n), images[:, 0]])

    def forces(self):
        forces = np.zeros((self.nlocal, 3))
        np.add.at(forces, self.owner, super().forces())
        return forces


def test_without_kokkos_ghosts_are_evaluated_too(potential):
    exported = MLIAPPotential(potential, ghost_neighbours=True)
    atoms = zoo()["si_diamond_primitive"]
    atoms.rattle(0.05, seed=1)
    layers = potential.model.num_layers
    data = ManyGhosts(atoms, exported.element_types, potential.model.cutoff, layers)
    exported.compute_forces(data)
    atoms.calc = SymCalc(potential)
    expected = atoms.get_potential_energies()
    np.testing.assert_allclose(data.given["eatoms"], expected, rtol=0, atol=TIGHT)
    np.testing.assert_allclose(data.forces(), atoms.get_forces(), rtol=0, atol=TIGHT)
    (line,) = (x for x in exported.input_lines(Path("f.pkl")) if x.startswith("comm_modify"))
    assert line.startswith("comm_modify cutoff 10 ")


def test_the_wrong_kind_of_ghosts_is_refused(mliap, potential):
    atoms, cutoff = bulk("Si"), potential.model.cutoff
    plain = Plain(atoms, mliap.element_types, cutoff)
    with pytest.raises(InputError, match="it needs Kokkos"):
        mliap.compute_forces(plain)
    many = ManyGhosts(atoms, mliap.element_types, cutoff, 2)
    with pytest.raises(InputError, match="unified FILE 0"):
        mliap.compute_forces(many)
    exported = MLIAPPotential(potential, ghost_neighbours=True)
    with pytest.raises(InputError, match="unified FILE 1"):
        exported.compute_forces(plain)


def test_atoms_of_other_potentials_are_refused(mliap):
    data = Kokkos(bulk("Si"), mliap.element_types, 4.0)
    data.elems = data.elems - 5
    with pytest.raises(InputError, match="NULL"):
        mliap.compute_forces(data)
    data.nlistatoms = 1
    with pytest.raises(InputError, match="hybrid"):
        mliap.compute_forces(data)


def test_the_file_holds_a_name_and_no_weights(mliap, tmp_path):
    path = tmp_path / "small.pkl"
    mliap.save(path)
    assert path.stat().st_size < 1000
    again = pickle.loads(path.read_bytes())
    assert again.element_types == ["Li", "Si", "Ni", "Cu", "Ge", "Mo"]
    assert (again.rcutfac, again.ndescriptors, again.nparams) == (2.0, 1, 1)
    assert again.interface is None
    results = []
    for exported in (mliap, again):
        data = Kokkos(bulk("Si"), exported.element_types, 4.0)
        exported.compute_descriptors(data)
        exported.compute_gradients(data)
        exported.compute_forces(data)
        results.append(data.room)
    np.testing.assert_array_equal(*results)


def test_single_precision_exchanges_single_rows(potential_folder):
    exported = MLIAPPotential(potential_folder, dtype="float32")
    data = Kokkos(bulk("Si"), exported.element_types, 4.0)
    seen = []
    exchange = data.forward_exchange
    data.forward_exchange = lambda rows, *rest: (seen.append(rows.dtype), exchange(rows, *rest))
    exported.compute_forces(data)
    assert seen == [torch.float32]
    assert data.given["gradient"].dtype == np.float64


def test_another_potential_of_the_same_name_is_refused(potential_folder, other_folder, tmp_path):
    folder = tmp_path / "mine"
    for source in (potential_folder, other_folder):
        for file in source.iterdir():
            folder.mkdir(exist_ok=True)
            (folder / file.name).write_bytes(file.read_bytes())
        if source is potential_folder:
            MLIAPPotential(folder).save(tmp_path / "mine.pkl")
    with pytest.raises(PotentialFileError, match="export again"):
        pickle.loads((tmp_path / "mine.pkl").read_bytes())


def test_one_of_many_processes_ends_where_it_fails(potential_folder):
    """LAMMPS would let the others wait."""
    program = (
        "from ase_symcalc.integrations.mliap import MLIAPPotential\n"
        f"exported = MLIAPPotential({str(potential_folder)!r})\n"
        "class Data: nlocal = 3; nlistatoms = 1; ntotal = 3\n"
        "try:\n    exported.compute_forces(Data())\n"
        "except ValueError:\n    print('caught')\n"
    )
    environment = {**os.environ, "PMI_SIZE": "2"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "pair_style hybrid does not go together" in done.stderr
