"""`SymCalc` in OpenMM, where OpenMM-ML is installed."""

from pathlib import Path

import numpy as np
import pytest
from ase import units
from ase.build import bulk

from ase_symcalc import SymCalc

openmm = pytest.importorskip("openmm", reason="needs ase-symcalc[openmm]")
app = pytest.importorskip("openmm.app", reason="needs ase-symcalc[openmm]")
unit = pytest.importorskip("openmm.unit", reason="needs ase-symcalc[openmm]")
openmmml = pytest.importorskip("openmmml", reason="needs ase-symcalc[openmm]")

EXAMPLE = Path(__file__).parents[2] / "examples" / "openmm_md.py"
EV = units.kJ / units.mol


def topology_of(atoms):
    topology = app.Topology()
    residue = topology.addResidue("all", topology.addChain())
    for number in atoms.numbers.tolist():
        topology.addAtom("X", app.Element.getByAtomicNumber(number), residue)
    topology.setPeriodicBoxVectors(atoms.cell.array * unit.angstrom)
    return topology


def energy_and_forces(system, positions):
    """In eV and eV/Å."""
    platform = openmm.Platform.getPlatformByName("Reference")
    context = openmm.Context(system, openmm.VerletIntegrator(1e-3), platform)
    context.setPositions(positions * unit.angstrom)
    state = context.getState(getEnergy=True, getForces=True)
    forces = state.getForces(asNumpy=True).value_in_unit(unit.kilojoule_per_mole / unit.angstrom)
    return state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole) * EV, forces * EV


def test_energy_and_forces_are_symcalcs(silicon, potential):
    system = openmmml.MLPotential("ase").createSystem(
        topology_of(silicon), calculator=SymCalc(potential)
    )
    energy, forces = energy_and_forces(system, silicon.positions)
    silicon.calc = SymCalc(potential)
    assert energy == pytest.approx(silicon.get_potential_energy(), abs=1e-10)
    np.testing.assert_allclose(forces, silicon.get_forces(), rtol=0, atol=1e-10)


def test_in_a_mixed_system_the_potential_sees_its_own_atoms(silicon, potential):
    argon = bulk("Ar", cubic=True, a=5.43)
    argon.positions += 1.3
    both = silicon + argon
    others = openmm.System()
    for atom in both:
        others.addParticle(atom.mass)
    others.setDefaultPeriodicBoxVectors(*(both.cell.array * unit.angstrom))
    system = openmmml.MLPotential("ase").createMixedSystem(
        topology_of(both),
        others,
        range(len(silicon)),
        calculator=SymCalc(potential),
        mlLongRange=False,
    )
    energy, forces = energy_and_forces(system, both.positions)
    silicon.calc = SymCalc(potential)
    assert energy == pytest.approx(silicon.get_potential_energy(), abs=1e-10)
    np.testing.assert_allclose(forces[: len(silicon)], silicon.get_forces(), rtol=0, atol=1e-10)
    assert (forces[len(silicon) :] == 0).all()


def test_example_runs(capsys):
    code = EXAMPLE.read_text(encoding="utf-8")
    exec(compile(code, EXAMPLE.name, "exec"), {"__name__": "__main__"})
    crystal, mixed = capsys.readouterr().out.splitlines()
    assert crystal.startswith("copper: -1")
    assert mixed.startswith("32 atoms of copper in")
