from ase.build import bulk

from ase_symcalc import SymCalc
from ase_symcalc.apps import phonons, relax
from ase_symcalc.apps.phonons_plot import plot_phonons

atoms = bulk("Si")
atoms.calc = SymCalc()
result = phonons(relax(atoms, fmax=1e-3).atoms)
print(f"{result.n_displacements} displacement in {result.n_supercell_atoms} atoms")
print(f"modes at Γ: {result.gamma.round(2)} THz", *result.warnings)
plot_phonons(result, "phonons.png")
