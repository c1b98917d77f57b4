"""Golden numbers: what a potential gave on the day it was saved, and how that was done."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np
import torch
from ase import Atoms

from ase_symcalc import __version__
from ase_symcalc.errors import InputError
from ase_symcalc.models import AbstractEnergyModel, build_model
from ase_symcalc.potential_files.load import GOLDEN, Potential, ready
from ase_symcalc.potential_files.tables import read_json
from ase_symcalc.response import predict
from ase_symcalc.structures import build_graph, from_ase


class Deviation(NamedTuple):
    """Largest differences from the golden numbers."""

    energy: float
    """eV/atom"""
    forces: float
    """eV/Å"""
    stress: float
    """eV/Å³"""


def make_golden(
    model: AbstractEnergyModel, structures: Mapping[str, Atoms], command: str
) -> dict[str, Any]:
    """Evaluate structures in float64 on the CPU and note down everything.

    Parameters
    ----------
    model : AbstractEnergyModel
        Left as it is.
    structures : mapping of name to Atoms
    command : str
        What to type to make these numbers again.

    Returns
    -------
    dict
        Ready for JSON. Energies in eV, forces in eV/Å, stress in eV/Å³ as a 3×3 matrix, null
        where a structure has no volume.
    """
    fixed = ready(build_model(model.config), model.state_dict(), torch.device("cpu"), torch.float64)
    packages = ("torch", "e3nn", "numpy", "ase", "matscipy")
    versions = {"python": platform.python_version(), "ase_symcalc": __version__}
    versions |= {name: version(name) for name in packages}
    rows = [{"name": name, **_row(fixed, atoms)} for name, atoms in structures.items()]
    return {"command": command, "versions": versions, "structures": rows}


def join_golden(golden: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """One table of what `make_golden` gave for each head, by its name."""
    first = next(iter(golden.values()))
    rows = [{"head": head, **row} for head, table in golden.items() for row in table["structures"]]
    return {**first, "structures": rows}


def golden_deviation(potential: Potential) -> Deviation:
    """Evaluate a potential's golden structures, those of its head, again and compare.

    Raises
    ------
    InputError
        If the potential was never saved, so that it has no golden numbers.
    """
    if potential.folder is None:
        raise InputError("expected a potential that was read from a folder; save it first")
    golden = read_json((potential.folder / GOLDEN).read_bytes())
    worst = Deviation(0.0, 0.0, 0.0)
    for row in golden["structures"]:
        if row.get("head") != potential.head:
            continue
        atoms = Atoms(row["numbers"], positions=row["positions"], cell=row["cell"], pbc=row["pbc"])
        now = _row(potential.model, atoms)
        here = Deviation(
            abs(now["energy"] - row["energy"]) / len(atoms),
            _largest(now["forces"], row["forces"]),
            0.0 if row["stress"] is None else _largest(now["stress"], row["stress"]),
        )
        worst = Deviation(*map(max, worst, here))
    return worst


def _largest(now: list[list[float]], then: list[list[float]]) -> float:
    return float(np.abs(np.subtract(now, then)).max())


def _row(model: AbstractEnergyModel, atoms: Atoms) -> dict[str, Any]:
    weight = next(model.parameters())
    graph = build_graph(atoms, model.cutoff, dtype=weight.dtype, device=weight.device)
    prediction = predict(model, graph)
    forces, stress = prediction.forces, prediction.stress
    assert forces is not None  # for a type checker: derivatives were asked for
    assert stress is not None
    has_volume = from_ase(atoms).volume is not None
    return {
        "numbers": atoms.numbers.tolist(),
        "positions": atoms.positions.tolist(),
        "cell": atoms.cell.array.tolist(),
        "pbc": atoms.pbc.tolist(),
        "energy": float(prediction.energy),
        "forces": forces.tolist(),
        "stress": stress[0].tolist() if has_volume else None,
    }
