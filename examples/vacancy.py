from ase.build import bulk

from ase_symcalc import SymCalc
from ase_symcalc.apps import vacancy

atoms = bulk("Cu")
atoms.calc = SymCalc()
(site,) = vacancy(atoms, min_length=7.0, migration=True, n_images=3).sites
print(f"formation {site.formation:.2f} eV, migration {site.hop.path.barrier_forward:.2f} eV")
