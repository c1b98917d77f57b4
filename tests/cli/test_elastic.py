"""``symcalc elastic`` on crystals of the shipped potential."""

import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111
from ase.io import write
from matplotlib.image import imread

from ase_symcalc.apps import elastic_strain

DEFAULT = ("--potential", "default")


@pytest.fixture
def copper(tmp_path):
    path = tmp_path / "copper.vasp"
    write(path, bulk("Cu", a=3.6352))
    return path


def test_results_go_into_files_and_a_table(symcalc, copper):
    code, out, err = symcalc("elastic", copper, *DEFAULT, "--report", "copper.html")
    assert code == 0, err
    record = json.loads(Path("copper-elastic.json").read_text("utf-8"))
    results = record["results"]
    constants = np.array(results["constants_GPa"])
    assert constants.shape == (6, 6)
    bulk_modulus = results["moduli"]["bulk_hill_GPa"]
    assert bulk_modulus == pytest.approx((constants[0, 0] + 2 * constants[0, 1]) / 3)
    assert results["stable"] is True
    assert results["n_strains"] == 1
    assert record["settings"]["method"] == "strain"
    for words in ("Fm-3m (225), 3 independent", "Young's modulus", "stable", "residual"):
        assert words in out
    assert "under" not in " ".join(record["warnings"])
    assert imread("copper-elastic.png").ndim == 3
    page = Path("copper.html").read_text("utf-8")
    assert "Elastic constants of Cu" in page
    assert '<td class="columns">   ' in page  # where spaces are kept
    assert "residual of 1 strain /" in out
    assert "6/6" in err


def test_analytic_and_clamped(symcalc, copper):
    code, out, _ = symcalc(
        "elastic", copper, *DEFAULT, "--method", "analytic", "--clamped", "--json"
    )
    assert code == 0
    results = json.loads(out)["results"]
    assert results["relaxed_constants_GPa"] is None
    assert results["n_strains"] == 0


def test_analytic_constants_say_that_they_are_at_work(symcalc, copper):
    _, _, err = symcalc("elastic", copper, *DEFAULT, "--method", "analytic")
    assert "second derivatives of the energy" in err


def test_a_name_with_brackets_is_not_markup(symcalc, tmp_path):
    write(tmp_path / "copper[bold].vasp", bulk("Cu", a=3.6352), format="vasp")
    code, out, err = symcalc("elastic", "copper[bold].vasp", *DEFAULT)
    assert code == 0, err
    assert "(copper[bold].vasp)" in out


def test_quiet_says_nothing(symcalc, copper):
    assert symcalc("elastic", copper, *DEFAULT, "--quiet") == (0, "", "")


def test_pressure_is_a_warning(symcalc, tmp_path):
    write(tmp_path / "pressed.vasp", bulk("Cu", a=3.55))
    code, out, _ = symcalc("elastic", "pressed.vasp", *DEFAULT)
    assert code == 0
    words = " ".join(out.split())
    assert "the structure is under" in words
    assert "stress-strain coefficients" in words
    assert "--relax goes there first" in words


def test_relaxing_first(symcalc, tmp_path):
    crystal = bulk("Si", a=5.45)
    crystal.positions[1] += 0.05
    write(tmp_path / "silicon.vasp", crystal)
    code, _, err = symcalc("elastic", "silicon.vasp", *DEFAULT)
    assert code == 2
    assert "more than 0.02. Relax it first (--relax" in err
    code, out, err = symcalc("elastic", "silicon.vasp", *DEFAULT, "--relax", "--symprec", "0.1")
    assert code == 0, err
    assert "Fd-3m (227), 3 independent constants" in out
    assert "under" not in err


def test_a_crystal_that_gives_way(symcalc, tmp_path):
    write(tmp_path / "bcc.vasp", bulk("Cu", "bcc", a=2.88))
    code, out, err = symcalc("elastic", "bcc.vasp", *DEFAULT)
    assert code == 1
    assert "the crystal is not stable: a strain has the stiffness -" in err
    assert "Born's condition" in err
    assert "NO" in out
    assert "Young" not in out
    record = json.loads(Path("bcc-elastic.json").read_text("utf-8"))
    assert record["results"]["moduli"] is None
    assert any("not stable" in sentence for sentence in record["warnings"])


def test_stopped_before_the_first_strain(symcalc, copper, ctrl_c, tmp_path):
    ctrl_c(elastic_strain, "_stresses")
    code, out, err = symcalc("elastic", copper, *DEFAULT)
    assert (code, out) == (130, "")
    assert "stopped; nothing was written" in err
    assert "starts anew" in err
    assert list(tmp_path.iterdir()) == [copper]


def test_stopped_run_goes_on_behind_its_strains(symcalc, tmp_path, ctrl_c):
    write(tmp_path / "si.vasp", bulk("Si", a=5.46))
    command = ("elastic", "si.vasp", *DEFAULT, "--relax")
    again = ctrl_c(elastic_strain, "_stresses", 4)
    code, _, err = symcalc(*command)
    assert code == 130
    assert "4 parts are done (the last: strain 1 times +0.005) and in si-elastic.partial" in err
    again()
    code, out, err = symcalc(*command, "--resume", "--json")
    assert code == 0
    assert "relaxing" not in err
    assert not Path("si-elastic.partial.json").exists()
    _, whole, _ = symcalc(*command, "--json")
    kept, anew = (json.loads(text)["results"]["constants_GPa"] for text in (out, whole))
    np.testing.assert_allclose(kept, anew, atol=1e-4)


@pytest.mark.parametrize(
    ("atoms", "arguments", "message"),
    [
        (
            Atoms("Cu2", [(0, 0, 0), (0, 0, 2.3)]),
            (),
            "an elastic tensor needs a crystal, which repeats along all three directions; this is "
            "a molecule",
        ),
        (fcc111("Cu", (1, 1, 3), vacuum=6), (), "this is a slab"),
        (fcc111("Cu", (1, 1, 3), vacuum=6, periodic=True), (), "Take the vacuum out"),
        (bulk("Cu"), ("--plot", "elastic.gif"), "a picture ending in"),
        (bulk("Cu"), ("--out", "results.txt"), "ending in .json"),
    ],
)
def test_what_cannot_be_done_is_refused(symcalc, tmp_path, atoms, arguments, message):
    atoms.info.clear()  # what ASE notes on slabs fits no file
    write(tmp_path / "given.xyz", atoms)
    code, out, err = symcalc("elastic", "given.xyz", *DEFAULT, *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.startswith("symcalc elastic: ")
    assert [path.name for path in tmp_path.iterdir()] == ["given.xyz"]
