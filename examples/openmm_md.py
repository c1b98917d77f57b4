"""OpenMM with our potentials, through OpenMM-ML: `pip install "ase-symcalc[openmm]"`.

`MLPotential("ase")` takes any ASE calculator, so also `SymCalc`: energies and forces are the
same, in OpenMM's kJ/mol and nm. What to know:

- Every integrator and thermostat works. Forces come without a stress, so pressure is for Monte
  Carlo barostats only, which need none.
- Box vectors are as OpenMM wants them: the first along x, the second in the plane of x and y,
  none much longer than needed. ASE's `atoms.cell.standard_form()` turns a cell so.
- A topology with box vectors repeats in all three directions, one without in none.
- OpenMM-ML asks for the energy first and then for forces: one forward pass more than needed.
- `createMixedSystem` leaves some atoms to the potential and the others to a force field. What is
  between the two is the force field's ("mechanical embedding"); the potential sees its own atoms
  alone, so only these must be elements that it knows. `mlLongRange=False` is true of it.
- OpenMM's platform is for the rest: the network runs where `SymCalc(device=...)` says.
"""

import numpy as np
import openmm
from ase import units
from ase.build import bulk
from openmm import app, unit
from openmmml import MLPotential

from ase_symcalc import SymCalc

CPU = openmm.Platform.getPlatformByName("CPU")


def topology_of(atoms):
    topology = app.Topology()
    residue = topology.addResidue("all", topology.addChain())
    for atom in atoms:
        topology.addAtom(atom.symbol, app.Element.getByAtomicNumber(int(atom.number)), residue)
    topology.setPeriodicBoxVectors(atoms.cell.array * unit.angstrom)
    return topology


def run(topology, system, positions, n_steps):
    thermostat = openmm.LangevinMiddleIntegrator(
        300 * unit.kelvin, 1 / unit.picosecond, 2 * unit.femtosecond
    )
    simulation = app.Simulation(topology, system, thermostat, CPU)
    simulation.context.setPositions(positions * unit.angstrom)
    simulation.step(n_steps)
    return simulation.context.getState(getEnergy=True, getPositions=True)


def energy_of(state):
    return state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole) * units.kJ / units.mol


# a crystal at 1 bar
copper = bulk("Cu", cubic=True) * (2, 2, 2)
topology = topology_of(copper)
potential = MLPotential("ase")
system = potential.createSystem(topology, calculator=SymCalc(dtype="float32"))
system.addForce(openmm.MonteCarloBarostat(1 * unit.bar, 300 * unit.kelvin, 5))
state = run(topology, system, copper.positions, 50)
volume = state.getPeriodicBoxVolume().value_in_unit(unit.angstrom**3)
print(f"copper: {energy_of(state):.2f} eV, {volume:.1f} Å³")

# a cluster of copper in argon: argon is a Lennard-Jones fluid, and so is what it does to copper
argon = bulk("Ar", a=5.4, cubic=True) * (4, 4, 4)
cluster = bulk("Cu", cubic=True) * (2, 2, 2)
cluster.positions += argon.cell.sum(axis=0) / 2 - cluster.positions.mean(axis=0)
apart = np.linalg.norm(argon.positions[:, None] - cluster.positions, axis=2).min(axis=1)
both = cluster + argon[apart > 3]
both.set_cell(argon.cell)
fluid = openmm.System()
pairs = openmm.NonbondedForce()
pairs.setNonbondedMethod(openmm.NonbondedForce.CutoffPeriodic)
pairs.setCutoffDistance(9 * unit.angstrom)
for atom in both:
    fluid.addParticle(atom.mass)
    pairs.addParticle(0, 3.4 * unit.angstrom, 1.0 * unit.kilojoule_per_mole)
fluid.addForce(pairs)
fluid.setDefaultPeriodicBoxVectors(*(both.cell.array * unit.angstrom))
topology = topology_of(both)
own = range(len(cluster))
mixed = potential.createMixedSystem(
    topology, fluid, own, calculator=SymCalc(dtype="float32"), mlLongRange=False
)
state = run(topology, mixed, both.positions, 20)
print(f"{len(cluster)} atoms of copper in {len(both) - len(cluster)} of argon: ", end="")
print(f"{energy_of(state):.2f} eV")
