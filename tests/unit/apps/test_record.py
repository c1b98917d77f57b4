"""The record of a command: plain, whole, and the same every time."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT

from ase_symcalc import SymCalc, __version__
from ase_symcalc.apps.record import make_record, write_json
from ase_symcalc.errors import OutsideTrainingWarning


def record_of(atoms, **changes):
    given = {"settings": {}, "results": {}, "calculator": atoms.calc, **changes}
    return make_record("relax", atoms=atoms, **given)


@pytest.fixture
def copper():
    atoms = bulk("Cu", cubic=True)
    atoms.calc = EMT()
    return atoms


def test_it_has_what_json_has_and_nothing_else(copper):
    results = {
        "forces_eV_per_angstrom": np.zeros((2, 3)),
        "energy_eV": np.float32(1.5),
        "steps": np.int64(3),
        "converged": np.True_,
        "missing": (np.nan, -np.inf, None),
        "file": Path("a.cif"),
    }
    record = record_of(copper, results=results)
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["results"] == {
        "forces_eV_per_angstrom": [[0.0] * 3] * 2,
        "energy_eV": 1.5,
        "steps": 3,
        "converged": True,
        "missing": [None, None, None],
        "file": "a.cif",
    }
    assert record["structure"]["formula"] == "Cu4"
    assert record["structure"]["space_group"] == "Fm-3m (225)"
    assert record["structure"]["cell_angstrom"] == copper.cell.array.tolist()
    assert record["potential"] == {"name": "EMT"}
    assert (record["warnings"], record["last_evaluation"]) == ([], None)
    assert record["versions"]["ase_symcalc"] == __version__
    assert {"ase", "numpy", "python", "torch"} <= record["versions"].keys()
    with pytest.raises(TypeError, match="got a Atoms"):
        record_of(copper, results={"atoms": copper})


def test_the_hash_is_of_the_content(copper):
    def digest(atoms):
        return record_of(atoms, calculator=None)["structure"]["sha256"]

    first = digest(copper)
    assert digest(copper.copy()) == first
    rotated = Atoms(copper.symbols, copper.positions, cell=copper.cell, pbc=True)
    assert digest(rotated) == first
    moved, other, slab = copper.copy(), copper.copy(), copper.copy()
    moved.positions[0, 0] += 1e-12
    other[0].symbol = "Ni"
    slab.pbc = (True, True, False)
    assert len({first, digest(moved), digest(other), digest(slab)}) == 4


def test_a_molecule_has_no_space_group():
    atoms = molecule("H2O")
    structure = record_of(atoms)["structure"]
    assert (structure["space_group"], structure["pbc"]) == (None, [False] * 3)


def test_potential_with_its_limits_and_what_it_met(copper):
    copper[0].symbol = "Ni"
    copper.calc = SymCalc("metals-preview")
    with pytest.warns(OutsideTrainingWarning, match="No Ni was near Cu"):
        copper.get_forces()
    record = record_of(copper)
    (potential,) = copper.calc.potentials
    assert record["potential"]["sha256"] == potential.digest
    assert record["potential"]["limits"] == potential.card.limits
    preview, pair = record["warnings"]
    assert preview.startswith("metals-preview 0.1 is a preview")
    assert pair.startswith("No Ni was near Cu where metals-preview was trained")
    assert record["last_evaluation"] == {"n_atoms": 4, "n_orbits": 2, "n_operations": 48}
    nickel = bulk("Ni")
    assert len(record_of(nickel, calculator=copper.calc)["warnings"]) == 1


def test_committee_lists_its_members(committee, silicon):
    record = record_of(silicon, calculator=committee)
    assert record["potential"]["name"] == "committee"
    assert [member["name"] for member in record["potential"]["members"]] == ["small", "other"]


def test_it_is_written_whole_or_not_at_all(copper, tmp_path, monkeypatch):
    path = tmp_path / "record.json"
    write_json(path, record_of(copper))
    before = path.read_bytes()
    write_json(path, record_of(copper))
    assert path.read_bytes() == before
    write_json(path, {"energy_eV": np.nan})
    assert json.loads(path.read_text()) == {"energy_eV": None}

    def full(self, text, **_):
        os.close(os.open(self, os.O_CREAT | os.O_WRONLY))
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_json(path, record_of(copper))
    assert caught.value.filename == str(path)
    assert [each.name for each in tmp_path.iterdir()] == ["record.json"]
    assert json.loads(path.read_bytes()) == {"energy_eV": None}
