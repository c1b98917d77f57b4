"""What people do with a calculator, any ASE calculator: functions in, plain results out."""

from ase_symcalc.apps.relax import Lattice as Lattice
from ase_symcalc.apps.relax import RelaxResult as RelaxResult
from ase_symcalc.apps.relax import RelaxStep as RelaxStep
from ase_symcalc.apps.relax import relax as relax
