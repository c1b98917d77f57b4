"""Weighted graphs in files, with the structure they are of."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io.jsonio import decode, encode
from jaxtyping import Float64, Int64

from ase_symcalc.errors import InputError
from ase_symcalc.potential_files.tables import read_json

FORMAT = "ase_symcalc graph 1"


@dataclass(frozen=True, slots=True, eq=False)
class WeightedGraph:
    """Edges with weights, and the structure."""

    atoms: Atoms
    edge_index: Int64[np.ndarray, "2 n_edges"]
    """row 0 centre, row 1 neighbour"""
    unit_shifts: Int64[np.ndarray, "n_edges 3"]
    """whole cells crossed, centre to neighbour"""
    weights: Float64[np.ndarray, "n_edges"]


def save_graph(path: str | Path, graph: WeightedGraph) -> None:
    """Write a graph as .npz: three arrays, and the structure as JSON, digit for digit.

    The structure has all that an `Atoms` has but its calculator.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    header = json.dumps({"format": FORMAT, "atoms": encode(graph.atoms.todict())})
    with Path(path).open("wb") as file:
        np.savez_compressed(
            file,
            header=np.array(header),
            edge_index=graph.edge_index,
            unit_shifts=graph.unit_shifts,
            weights=graph.weights,
        )


def load_graph(path: str | Path) -> WeightedGraph:
    """Read a graph that `save_graph` wrote; nothing in the file is executed.

    Raises
    ------
    InputError
        If the file is something else, or damaged.
    OSError
        If it cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            header = read_json(str(stored["header"]).encode())
            if header["format"] != FORMAT:
                raise ValueError(f"its format is {header['format']!r}")
            read_json(header["atoms"].encode())  # for ASE's reader does not look how deep it is
            return WeightedGraph(
                Atoms.fromdict(decode(header["atoms"])),
                *(stored[name] for name in ("edge_index", "unit_shifts", "weights")),
            )
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        EOFError,
        zipfile.BadZipFile,
    ) as error:
        raise InputError(
            f"{path} is not a graph that save_graph wrote, or is damaged ({error})"
        ) from error
