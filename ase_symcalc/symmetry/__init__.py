"""The space group of a structure, and what follows from it for the network's work."""

from ase_symcalc.symmetry.bases import equivariant_basis as equivariant_basis
from ase_symcalc.symmetry.bases import equivariant_projector as equivariant_projector
from ase_symcalc.symmetry.bases import invariant_basis as invariant_basis
from ase_symcalc.symmetry.elastic import elastic_basis as elastic_basis
from ase_symcalc.symmetry.groups import O3 as O3
from ase_symcalc.symmetry.groups import POINT_GROUPS as POINT_GROUPS
from ase_symcalc.symmetry.groups import SO3 as SO3
from ase_symcalc.symmetry.groups import Group as Group
from ase_symcalc.symmetry.groups import point_group as point_group
from ase_symcalc.symmetry.groups import site_group as site_group
from ase_symcalc.symmetry.idealise import Idealised as Idealised
from ase_symcalc.symmetry.idealise import idealise as idealise
from ase_symcalc.symmetry.memory import SymmetryMemory as SymmetryMemory
from ase_symcalc.symmetry.operations import Operations as Operations
from ase_symcalc.symmetry.operations import find_operations as find_operations
from ase_symcalc.symmetry.orbits import SymmetryMap as SymmetryMap
from ase_symcalc.symmetry.orbits import find_symmetry as find_symmetry
from ase_symcalc.symmetry.representations import Representation as Representation
from ase_symcalc.symmetry.representations import Scalar as Scalar
from ase_symcalc.symmetry.representations import V as V
from ase_symcalc.symmetry.representations import irrep as irrep
from ase_symcalc.symmetry.wyckoff import WyckoffFeatures as WyckoffFeatures
from ase_symcalc.symmetry.wyckoff import WyckoffSites as WyckoffSites
from ase_symcalc.symmetry.wyckoff import pool_wyckoff as pool_wyckoff
from ase_symcalc.symmetry.wyckoff import wyckoff_sites as wyckoff_sites
