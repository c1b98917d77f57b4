from ase import units
from ase.build import bulk
from ase.md.langevin import Langevin

from ase_symcalc import SymCalc

atoms = bulk("Cu", cubic=True) * (2, 2, 2)
atoms.calc = SymCalc(dtype="float32")
md = Langevin(atoms, 2 * units.fs, temperature_K=300, friction=0.02 / units.fs, fixcm=False)
md.attach(lambda: print(f"{md.nsteps} steps, {atoms.get_temperature():.0f} K"), interval=5)
md.run(20)
