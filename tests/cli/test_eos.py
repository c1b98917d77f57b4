"""``symcalc eos`` on EMT-sized crystals of the shipped potential."""

import json
import shlex
import sys
from pathlib import Path
from unittest.mock import patch

import pytest
from ase import Atoms
from ase.build import bulk, fcc111
from ase.io import write
from matplotlib.image import imread

from ase_symcalc import SymCalc
from ase_symcalc.apps import eos
from ase_symcalc.apps.record import write_whole
from ase_symcalc.apps.settle import settle
from ase_symcalc.cli.progress import Progress

QUICK = ("--potential", "default", "--points", "7")


@pytest.fixture
def copper(tmp_path):
    path = tmp_path / "copper.vasp"
    write(path, bulk("Cu", a=3.63))
    return path


def test_results_go_into_files_and_a_table(symcalc, copper):
    code, out, err = symcalc("eos", copper, *QUICK, "--report", "copper.html")
    assert code == 0, err
    record = json.loads(Path("copper-eos.json").read_text("utf-8"))
    atoms = bulk("Cu", a=3.63)
    atoms.calc = SymCalc()
    expected = eos(atoms, n_volumes=7)
    results = record["results"]
    assert results["best"] == expected.best.name
    fit = results["fits"]["Vinet"]
    assert fit["bulk_modulus_GPa"] == pytest.approx(
        next(fit for fit in expected.fits if fit.name == "Vinet").bulk_modulus, rel=1e-4
    )
    assert len(results["energy_eV"]) == 7
    assert record["settings"]["free"] == "positions"
    for words in (
        "Vinet",
        "Birch-Murnaghan",
        "B0 / GPa",
        "±",
        "copper-eos.json",
        "the nearer",
        "not of the choice",
    ):
        assert words in out
    assert imread("copper-eos.png").ndim == 3
    assert "Equation of state of Cu" in Path("copper.html").read_text("utf-8")
    assert "7/7" in err


def test_json_is_all_of_stdout_and_quiet_says_nothing(symcalc, copper):
    code, out, _ = symcalc("eos", copper, *QUICK, "--json")
    assert code == 0
    assert json.loads(out)["command"] == "eos"
    assert symcalc("eos", copper, *QUICK, "--quiet") == (0, "", "")


def test_range_that_was_moved_is_a_warning(symcalc, tmp_path):
    write(tmp_path / "wide.vasp", bulk("Cu", a=3.85))
    code, out, _ = symcalc("eos", "wide.vasp", *QUICK)
    assert code == 0
    assert "the range was moved once" in " ".join(out.split())


def test_shape_that_is_held_is_a_warning(symcalc, tmp_path):
    write(tmp_path / "tall.vasp", bulk("Cu", "hcp", a=2.55, c=4.4))
    code, out, _ = symcalc("eos", "tall.vasp", *QUICK)
    assert code == 0
    assert "--free shape lets it go" in " ".join(out.split())
    _, out, _ = symcalc("eos", "tall.vasp", *QUICK, "--free", "shape", "--fmax", "0.01")
    assert "--free shape lets it go" not in " ".join(out.split())


def test_stopped_run_goes_on_behind_its_energies(symcalc, copper, ctrl_c):
    again = ctrl_c(Progress, "bar", 3)
    code, out, err = symcalc("eos", copper, *QUICK)
    assert (code, out) == (130, "")
    sentence = err.splitlines()[-1]
    assert "stopped; 3 parts are done (the last: volume 3) and in copper-eos.partial.json" in err
    record = json.loads(Path("copper-eos.partial.json").read_text("utf-8"))
    assert [part["energy_eV"] < 0 for part in record["parts"].values()] == [True] * 3
    assert record["potential"]["sha256"]
    again()
    words = shlex.split(sentence.split("To go on: ")[1])
    kept = settled(symcalc, *words[1:], n_relaxed=4)
    assert not Path("copper-eos.partial.json").exists()
    assert kept == settled(symcalc, "eos", copper, *QUICK, n_relaxed=7)


def settled(symcalc, *words, n_relaxed):
    """Results of a run that settles so many crystals."""
    with patch("ase_symcalc.apps.eos.settle", wraps=settle) as spy:
        code, out, _ = symcalc(*words, "--json")
    assert code == 0
    assert spy.call_count == n_relaxed
    return json.loads(out)["results"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--points", "8"), "of another run: not the same settings"),
        (("--dtype", "float32"), "of another run: not the same settings"),
        (("--potential", "pbe16"), "of another run: not the same potential"),
        (("--out", "other.json"), "goes on from other.partial.json, which does not exist"),
    ],
)
def test_another_run_is_not_gone_on_with(symcalc, copper, ctrl_c, arguments, message):
    ctrl_c(Progress, "bar", 1)
    symcalc("eos", copper, *QUICK)
    before = Path("copper-eos.partial.json").read_bytes()
    code, _, err = symcalc("eos", copper, *QUICK, *arguments, "--resume")
    assert code == 2
    assert message in err
    assert Path("copper-eos.partial.json").read_bytes() == before


DAMAGED = ("", "{}", "[1]", '{"parts": 1}', pytest.param("[" * 200_000, id="deep"))


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_partial_file_is_refused(symcalc, copper, text):
    Path("copper-eos.partial.json").write_text(text)
    code, _, err = symcalc("eos", copper, *QUICK, "--resume")
    assert code == 2
    assert "is not what a stopped run leaves" in err


def test_a_command_that_is_refused_leaves_what_another_run_did(symcalc, copper, ctrl_c):
    ctrl_c(Progress, "bar", 1)
    symcalc("eos", copper, *QUICK)
    assert symcalc("eos", copper, *QUICK, "--range", "0.9")[0] == 2
    assert Path("copper-eos.partial.json").exists()


def test_a_refused_run_leaves_nothing(symcalc, copper, monkeypatch, tmp_path):
    monkeypatch.setattr(sys.modules["ase_symcalc.apps.eos"], "_centre_outside", lambda *_: 40.0)
    code, _, err = symcalc("eos", copper, *QUICK)
    assert code == 2
    assert "no minimum of the energy was found" in err
    assert list(tmp_path.iterdir()) == [copper]


def test_another_structure_is_not_gone_on_with(symcalc, copper, ctrl_c):
    ctrl_c(Progress, "bar", 1)
    symcalc("eos", copper, *QUICK)
    write(copper, bulk("Cu", a=3.64))
    code, _, err = symcalc("eos", copper, *QUICK, "--resume")
    assert code == 2
    assert "of another run: not the same structure" in err


def test_results_that_cannot_be_written_leave_no_picture(symcalc, copper, monkeypatch, tmp_path):
    def full(path, text):
        if path.name == "copper-eos.json":
            raise OSError(28, "No space left on device", str(path))
        write_whole(path, text)

    monkeypatch.setattr("ase_symcalc.apps.record.write_whole", full)
    code, out, err = symcalc("eos", copper, *QUICK)
    assert (code, out) == (2, "")
    assert "copper-eos.json: No space left on device" in err
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"copper.vasp", "copper-eos.partial.json"}


def test_atoms_that_do_not_come_to_rest(symcalc, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["ase_symcalc.apps.eos"], "settle", lambda *_, **__: False)
    write(tmp_path / "copper.vasp", bulk("Cu", a=3.63))
    code, out, err = symcalc("eos", "copper.vasp", *QUICK)
    assert code == 1
    assert "did not come to rest within 0.001 eV/Å; try --relax" in err
    assert "B0 / GPa" in out


@pytest.mark.parametrize(
    ("atoms", "arguments", "message"),
    [
        (Atoms("Cu2", [(0, 0, 0), (0, 0, 2.3)]), (), "this is a molecule"),
        (fcc111("Cu", (1, 1, 3), vacuum=6, periodic=True), (), "hold no atom. Take the vacuum out"),
        (bulk("Cu"), ("--points", "3"), "at least 7 volumes, got 3"),
        (bulk("Cu"), ("--range", "0.9"), "within 0.005 to 0.3"),
        (bulk("Cu"), ("--out", "results.txt"), "ending in .json"),
        (bulk("Au"), (), "Au"),
    ],
)
def test_what_cannot_be_done_is_refused(symcalc, tmp_path, atoms, arguments, message):
    atoms.info.clear()  # what ASE notes on slabs fits no file
    write(tmp_path / "given.xyz", atoms)
    code, out, err = symcalc("eos", "given.xyz", *QUICK, *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.startswith("symcalc eos: ")
    assert [path.name for path in tmp_path.iterdir()] == ["given.xyz"]
