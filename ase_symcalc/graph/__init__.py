"""What the network sees: structures as tensors, and the vectors of their edges."""

from ase_symcalc.graph.atomic_graph import AtomicGraph as AtomicGraph
from ase_symcalc.graph.batch import join_graphs as join_graphs
from ase_symcalc.graph.environments import Environments as Environments
from ase_symcalc.graph.geometry import edge_vectors as edge_vectors
