"""What ASE writes down about a calculation can be read again."""

import json
import threading

import numpy as np
import pytest
from ase.calculators.loggingcalc import LoggingCalculator
from ase.calculators.socketio import SocketClient, SocketIOCalculator
from ase.db import connect
from ase.io import Trajectory, read, write
from ase.optimize import BFGS

from ase_symcalc import SymCalc
from tests.tolerances import TIGHT
from tests.zoo import zoo


def assert_same_results(found, atoms):
    assert found.get_potential_energy() == pytest.approx(atoms.get_potential_energy(), abs=1e-12)
    np.testing.assert_allclose(found.get_forces(), atoms.get_forces(), atol=1e-12)
    np.testing.assert_allclose(found.get_stress(), atoms.get_stress(), atol=1e-12)


def test_a_trajectory_remembers_results_and_settings(calc, silicon, tmp_path):
    silicon.calc = calc
    path = tmp_path / "relax.traj"
    BFGS(silicon, logfile=None, trajectory=str(path)).run(fmax=0.05, steps=5)
    silicon.get_stress()
    with Trajectory(path, "a", silicon) as trajectory:
        trajectory.write()
    last = read(path, -1)
    assert_same_results(last, silicon)
    assert last.calc.name == "symcalc"
    assert last.calc.parameters == json.loads(json.dumps(calc.todict()))
    assert not last.calc.calculation_required(last, ["energy", "forces"])


def test_an_extended_xyz_file_remembers_results(calc, silicon, tmp_path):
    silicon.calc = calc
    silicon.get_stress()
    write(tmp_path / "silicon.xyz", silicon, format="extxyz", write_results=True)
    found = read(tmp_path / "silicon.xyz")
    assert found.get_potential_energy() == pytest.approx(silicon.get_potential_energy(), abs=1e-7)
    np.testing.assert_allclose(found.get_forces(), silicon.get_forces(), atol=1e-7)
    np.testing.assert_allclose(found.get_stress(), silicon.get_stress(), atol=1e-7)


@pytest.mark.parametrize("name", ["atoms.json", "atoms.db"])
def test_a_database_remembers_results_and_settings(calc, silicon, tmp_path, name):
    silicon.calc = calc
    silicon.get_stress()
    with connect(tmp_path / name) as database:
        row = database.get(database.write(silicon))
    assert row.calculator == "symcalc"
    assert row.calculator_parameters == calc.todict()
    assert_same_results(row.toatoms(), silicon)


def test_a_molecule_without_stress_can_be_written(calc, tmp_path):
    molecule = zoo()["si_cluster"]
    molecule.calc = calc
    molecule.get_forces()
    for name in ("molecule.traj", "molecule.xyz"):
        write(tmp_path / name, molecule)
        found = read(tmp_path / name)
        assert "stress" not in found.calc.results
        np.testing.assert_allclose(found.get_forces(), molecule.get_forces(), atol=1e-7)


@pytest.mark.parametrize("suffix", ["cif", "vasp", "xyz"])
def test_a_structure_read_from_a_file_can_be_evaluated(calc, silicon, tmp_path, suffix):
    path = tmp_path / f"structure.{suffix}"
    write(path, silicon, **({"format": "extxyz"} if suffix == "xyz" else {}))
    found = read(path)
    found.calc = silicon.calc = calc
    energy = silicon.get_potential_energy()
    assert found.get_potential_energy() == pytest.approx(energy, abs=1e-4)


def test_a_wrapping_calculator_sees_one_evaluation_per_structure(calc, silicon):
    silicon.calc = LoggingCalculator(calc)
    silicon.get_forces()
    only = calc.evaluation
    silicon.get_potential_energy()
    assert calc.evaluation is only


def test_it_answers_over_a_socket(calc, silicon, tmp_path):
    """As i-PI asks for it."""
    expected = silicon.copy()
    expected.calc = SymCalc(calc.parameters["potential"])
    name = f"symcalc-{tmp_path.name}"
    with SocketIOCalculator(unixsocket=name) as server:
        client_atoms = silicon.copy()
        client_atoms.calc = calc
        client = threading.Thread(
            target=lambda: SocketClient(unixsocket=name).run(client_atoms, use_stress=True)
        )
        client.start()
        silicon.calc = server
        for _ in range(2):
            np.testing.assert_allclose(silicon.get_forces(), expected.get_forces(), atol=TIGHT)
            np.testing.assert_allclose(silicon.get_stress(), expected.get_stress(), atol=TIGHT)
            silicon.rattle(0.01)
            expected.positions = silicon.positions
    client.join(timeout=30)
    assert not client.is_alive()
