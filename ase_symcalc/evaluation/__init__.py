"""The stateless call: structures in, results out."""

from ase_symcalc.evaluation.account import Evaluation as Evaluation
from ase_symcalc.evaluation.analysis import Analysis as Analysis
from ase_symcalc.evaluation.ase_terms import as_ase_errors as as_ase_errors
from ase_symcalc.evaluation.ase_terms import ase_results as ase_results
from ase_symcalc.evaluation.committee import Committee as Committee
from ase_symcalc.evaluation.committee import PotentialLike as PotentialLike
from ase_symcalc.evaluation.committee import force_spread as force_spread
from ase_symcalc.evaluation.committee import mean_result as mean_result
from ase_symcalc.evaluation.context import undisturbed as undisturbed
from ase_symcalc.evaluation.descriptors import descriptors as descriptors
from ase_symcalc.evaluation.domains import DomainResult as DomainResult
from ase_symcalc.evaluation.domains import evaluate_domain as evaluate_domain
from ase_symcalc.evaluation.evaluate import checked_arrays as checked_arrays
from ase_symcalc.evaluation.evaluate import evaluate as evaluate
from ase_symcalc.evaluation.evaluate import evaluate_arrays as evaluate_arrays
from ase_symcalc.evaluation.evaluate import evaluate_pairs as evaluate_pairs
from ase_symcalc.evaluation.hops import Hops as Hops
from ase_symcalc.evaluation.result import StructureResult as StructureResult
from ase_symcalc.evaluation.settings import checked_setting as checked_setting
from ase_symcalc.evaluation.unseen import unlisted_pairs as unlisted_pairs
from ase_symcalc.evaluation.unseen import unseen_in_words as unseen_in_words
from ase_symcalc.evaluation.unseen import unseen_pairs as unseen_pairs
from ase_symcalc.evaluation.unseen import warn_of_pairs as warn_of_pairs
