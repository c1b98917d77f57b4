"""From files to models and back, with nothing in them executed."""

from ase_symcalc.potential_files.card import AccuracyRow as AccuracyRow
from ase_symcalc.potential_files.card import Head as Head
from ase_symcalc.potential_files.card import PotentialCard as PotentialCard
from ase_symcalc.potential_files.card import References as References
from ase_symcalc.potential_files.card import TrainingRecord as TrainingRecord
from ase_symcalc.potential_files.card import read_card as read_card
from ase_symcalc.potential_files.card import write_card as write_card
from ase_symcalc.potential_files.find import find_potential as find_potential
from ase_symcalc.potential_files.find import list_potentials as list_potentials
from ase_symcalc.potential_files.golden import golden_deviation as golden_deviation
from ase_symcalc.potential_files.golden import join_golden as join_golden
from ase_symcalc.potential_files.golden import make_golden as make_golden
from ase_symcalc.potential_files.load import Potential as Potential
from ase_symcalc.potential_files.load import load_potential as load_potential
from ase_symcalc.potential_files.save import save_potential as save_potential
