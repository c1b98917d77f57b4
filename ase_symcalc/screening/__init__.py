"""One kind of work on many structures, by several processes, into one file that can be resumed."""

from ase_symcalc.screening.clusters import Places as Places
from ase_symcalc.screening.clusters import SlurmJobs as SlurmJobs
from ase_symcalc.screening.duplicates import Duplicates as Duplicates
from ase_symcalc.screening.export import export as export
from ase_symcalc.screening.outcomes import STATUSES as STATUSES
from ase_symcalc.screening.outcomes import Outcome as Outcome
from ase_symcalc.screening.screen import screen as screen
from ase_symcalc.screening.sources import Item as Item
from ase_symcalc.screening.sources import expected_count as expected_count
from ase_symcalc.screening.sources import read_items as read_items
from ase_symcalc.screening.store import Store as Store
from ase_symcalc.screening.tally import Tally as Tally
from ase_symcalc.screening.validity import Bounds as Bounds
from ase_symcalc.screening.validity import invalid as invalid
from ase_symcalc.screening.work import KINDS as KINDS
from ase_symcalc.screening.work import Work as Work
