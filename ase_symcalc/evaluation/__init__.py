"""The stateless call: structures in, results out."""

from ase_symcalc.evaluation.committee import Committee as Committee
from ase_symcalc.evaluation.committee import PotentialLike as PotentialLike
from ase_symcalc.evaluation.committee import force_spread as force_spread
from ase_symcalc.evaluation.committee import mean_result as mean_result
from ase_symcalc.evaluation.context import undisturbed as undisturbed
from ase_symcalc.evaluation.descriptors import descriptors as descriptors
from ase_symcalc.evaluation.evaluate import checked_arrays as checked_arrays
from ase_symcalc.evaluation.evaluate import evaluate as evaluate
from ase_symcalc.evaluation.evaluate import evaluate_arrays as evaluate_arrays
from ase_symcalc.evaluation.hops import Hops as Hops
from ase_symcalc.evaluation.result import StructureResult as StructureResult
