from ase.build import bulk

from ase_symcalc import SymCalc
from ase_symcalc.apps import relax

atoms = bulk("Ge", cubic=True)
atoms.rattle(0.1, seed=1)
atoms.calc = SymCalc()
result = relax(atoms, fmax=0.01)
print(result.converged, result.steps, result.final.lengths, result.final.space_group)
result.atoms.write("germanium.cif")
