from ase.build import bulk

from ase_symcalc import SymCalc
from ase_symcalc.apps import elastic, eos, relax

atoms = bulk("Ni")
atoms.calc = SymCalc()
curve = eos(atoms).best
print(f"{curve.name}: {curve.volume:.3f} Å³ per atom, bulk modulus {curve.bulk_modulus:.0f} GPa")
constants = elastic(relax(atoms, fmax=1e-3).atoms)
print(constants.standard.round(1))
print(constants.moduli)
