"""Every field of an `AtomicGraph`: shape, dtype, unit, meaning. Checked against it by a test."""

from typing import NamedTuple


class Field(NamedTuple):
    """One row of the table."""

    name: str
    shape: str
    dtype: str
    unit: str
    meaning: str


FIELDS = (
    Field("positions", "n_atoms 3", "float", "Å", "anywhere in space, wrapped or not"),
    Field("cell", "n_structures 3 3", "float", "Å", "rows are the cell vectors"),
    Field("pbc", "n_structures 3", "bool", "", "which cell vectors repeat"),
    Field("atomic_numbers", "n_atoms", "int64", "", "element of each atom"),
    Field("structure_index", "n_atoms", "int64", "", "structure of each atom, sorted"),
    Field("edge_index", "2 n_edges", "int64", "", "row 0 centre (sorted), row 1 neighbour"),
    Field("unit_shifts", "n_edges 3", "float", "cells", "whole cells crossed, centre to neighbour"),
    Field("cutoff", "", "float", "Å", "longest edge"),
)
