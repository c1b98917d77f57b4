"""From ASE to the graph: checked arrays, neighbour pairs, tensors."""

from ase_symcalc.structures.build import build_graph as build_graph
from ase_symcalc.structures.build import graph_from_pairs as graph_from_pairs
from ase_symcalc.structures.from_ase import StructureArrays as StructureArrays
from ase_symcalc.structures.from_ase import from_ase as from_ase
from ase_symcalc.structures.neighbours import TOO_CLOSE as TOO_CLOSE
from ase_symcalc.structures.neighbours import Pairs as Pairs
from ase_symcalc.structures.neighbours import check_separation as check_separation
from ase_symcalc.structures.neighbours import neighbour_pairs as neighbour_pairs
from ase_symcalc.structures.neighbours import pairs_within as pairs_within
from ase_symcalc.structures.skin import SkinList as SkinList
