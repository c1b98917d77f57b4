"""``symcalc vibrations``: a molecule in, modes and sentences out."""

import json

import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import read, write
from matplotlib.image import imread

from ase_symcalc import SymCalc

METALS = ("--potential", "metals-preview")


@pytest.fixture
def trimer(tmp_path):
    path = tmp_path / "trimer.xyz"
    write(path, Atoms("Cu3", [(0, 0, 0), (2.4, 0, 0), (1.2, 2, 0)]))
    return path


def test_modes_are_listed_and_filmed(symcalc, trimer):
    code, out, err = symcalc("vibrations", trimer, *METALS, "--relax", "--modes", "film.xyz")
    assert code == 0, err
    for row in ("Vibrations of Cu3", "not linear", "not computed: no dipoles", "zero-point energy"):
        assert row in out
    record = json.loads((trimer.parent / "trimer-vibrations.json").read_text())
    results = record["results"]
    assert len(results["wavenumber_per_cm"]) == 3
    assert results["intensities"] is None
    assert results["wavenumber_per_cm"][0] == pytest.approx(
        results["wavenumber_per_cm"][1], rel=1e-3
    )
    assert results["energy_meV"][0] == pytest.approx(results["wavenumber_per_cm"][0] / 8.0655, 1e-3)
    film = read("film.xyz", ":")
    assert len(film) == 3 * 16
    assert film[-1].info["mode"] == 3
    assert imread(trimer.parent / "trimer-vibrations.png").ndim == 3


def test_a_molecule_on_a_slope_is_refused(symcalc, trimer):
    code, out, err = symcalc("vibrations", trimer, *METALS)
    assert (code, out) == (2, "")
    assert "not at a minimum" in err
    assert "second derivatives" not in err
    assert "--relax" in err
    assert list(trimer.parent.iterdir()) == [trimer]


def test_a_saddle_point_has_an_exit_code(symcalc, tmp_path):
    write(tmp_path / "line.xyz", Atoms("Li3", [(0, 0, 0), (2.8, 0, 0), (5.6, 0, 0)]))
    code, out, err = symcalc("vibrations", "line.xyz", *METALS, "--relax")
    imaginary = json.loads((tmp_path / "line-vibrations.json").read_text())["results"]
    assert code == (1 if imaginary["n_imaginary"] else 0)
    assert "linear" in out
    assert ("modes are imaginary" in err) == bool(imaginary["n_imaginary"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--modes", "film.gif"), "a film ending in .xyz"),
        (("--modes", "trimer.xyz"), "is the input"),
        (("--out", "x.txt"), "a file ending in .json"),
    ],
)
def test_argument_that_cannot_be_met(symcalc, trimer, arguments, message):
    code, out, err = symcalc("vibrations", trimer, *METALS, *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert list(trimer.parent.iterdir()) == [trimer]


def test_a_crystal_is_sent_to_phonons(symcalc, tmp_path):
    write(tmp_path / "copper.cif", bulk("Cu", cubic=True))
    code, _, err = symcalc("vibrations", "copper.cif", *METALS)
    assert code == 2
    assert "For a crystal there is `phonons`" in err
    assert "second derivatives" not in err
    code, _, err = symcalc("vibrations", "copper.cif", *METALS, "--relax")
    assert (code, "relaxing" in err) == (2, False)


def test_stopped_run_goes_on_behind_its_relaxation(symcalc, trimer, ctrl_c):
    again = ctrl_c(SymCalc, "get_hessian")
    command = ("vibrations", trimer, *METALS, "--relax")
    code, out, err = symcalc(*command)
    assert (code, out) == (130, "")
    assert "one part is done (the last: relaxed structure) and in trimer-vibrations.partial" in err
    again()
    code, out, err = symcalc(*command, "--resume", "--json")
    assert code == 0
    assert "relaxing" not in err
    _, whole, _ = symcalc(*command, "--json")
    kept, anew = (json.loads(text)["results"]["wavenumber_per_cm"] for text in (out, whole))
    assert kept == pytest.approx(anew, rel=1e-6)
    assert not (trimer.parent / "trimer-vibrations.partial.json").exists()


def test_modes_that_infrared_light_does_not_see(symcalc, tmp_path):
    write(tmp_path / "dimer.xyz", Atoms("Cu2", [(0, 0, 0), (2.2, 0, 0)]))
    code, out, _ = symcalc("vibrations", "dimer.xyz", *METALS, "--relax")
    assert code == 0
    results = json.loads((tmp_path / "dimer-vibrations.json").read_text())["results"]
    assert results["infrared_silent_by_symmetry"] == [True]
    (line,) = (line for line in out.splitlines() if "silent in infrared by symmetry" in line)
    assert f"{results['wavenumber_per_cm'][0]:.1f}" in line
