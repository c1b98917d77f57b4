"""``symcalc phonons`` and ``symcalc qha``: files in, results, pictures and sentences out."""

import json
import sys

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write
from matplotlib.image import imread

pytest.importorskip("phonopy", reason="phonopy is not installed; it is in the extra phonons")
pytest.importorskip("seekpath", reason="seekpath is not installed; it is in the extra phonons")

import phonopy

from ase_symcalc.apps.force_constants import ForcesStep

METALS = ("--potential", "metals-preview")
SMALL = ("--supercell", "2", "2", "2")


@pytest.fixture
def diamond(tmp_path):
    path = tmp_path / "diamond.xyz"
    write(path, bulk("Si", a=5.47))
    return path


def test_results_say_everything(symcalc, diamond):
    before = diamond.read_bytes()
    code, out, err = symcalc("phonons", diamond, *METALS, *SMALL)
    assert code == 0, err
    assert diamond.read_bytes() == before
    for row in ("Phonons of Si2", "16 atoms, 1 displaced in turn", "Γ / THz", "0.00 ×3", "none"):
        assert row in out
    assert "2/2  supercells of 16 atoms" in err
    record = json.loads((diamond.parent / "diamond-phonons.json").read_text())
    assert record["command"] == "phonons"
    assert record["potential"]["name"] == "metals-preview"
    assert record["settings"]["supercell"] == [2, 2, 2]
    results = record["results"]
    assert results["n_displacements"] == 1
    assert results["imaginary"] == []
    assert np.abs(results["gamma_THz"][:3]).max() < 1e-3
    first = results["bands"][0]
    assert (first["from"]["label"], first["to"]["label"]) == ("Γ", "X")
    assert len(first["q"]) == len(first["frequency_THz"]) == len(first["group_speed_km_per_s"])
    heat = results["thermal"]["heat_capacity_J_per_K_and_mol_of_atoms"]
    assert heat[0] == 0
    assert 23 < heat[-1] < 24.95
    assert imread(diamond.parent / "diamond-phonons.png").ndim == 3


def test_phonopy_goes_on_from_the_file(symcalc, diamond):
    code, out, _ = symcalc("phonons", diamond, *METALS, *SMALL, "--json", "--quiet")
    assert code == 0
    loaded = phonopy.load("diamond-phonopy_params.yaml", log_level=0)
    frequencies = loaded.run_qpoints([[0, 0, 0]]).frequencies[0]
    assert frequencies == pytest.approx(json.loads(out)["results"]["gamma_THz"], abs=1e-3)


def test_report_is_one_page(symcalc, diamond):
    code, out, _ = symcalc("phonons", diamond, *METALS, *SMALL, "--report", "page.html")
    assert code == 0
    assert "page.html" in out
    page = (diamond.parent / "page.html").read_text(encoding="utf-8")
    assert "Phonons of Si2" in page
    assert "data:image/png" in page


def test_a_crystal_on_a_slope_is_refused_and_relaxed_if_asked(symcalc, tmp_path):
    atoms = bulk("Si", a=5.5)
    atoms.positions[1] += 0.02
    write(tmp_path / "slope.xyz", atoms)
    code, out, err = symcalc("phonons", "slope.xyz", *METALS, *SMALL)
    assert (code, out) == (2, "")
    assert "not at a minimum" in err
    assert "--relax" in err
    assert [path.name for path in tmp_path.iterdir()] == ["slope.xyz"]
    code, out, err = symcalc("phonons", "slope.xyz", *METALS, *SMALL, "--relax", "--json")
    assert code == 0, err
    assert "relaxing: step" in err
    results = json.loads(out)["results"]
    assert results["residual_force_eV_per_angstrom"] < 2e-4
    assert np.ptp(results["gamma_THz"][3:]) < 0.02


def test_few_digits_are_idealised_first(symcalc, tmp_path):
    atoms = bulk("Cu", "hcp", a=2.556, c=4.2)
    atoms.set_scaled_positions(np.round(atoms.get_scaled_positions(), 3))
    write(tmp_path / "hcp.xyz", atoms)
    options = ("--symprec", "1e-2", "--relax", "--supercell", "2", "2", "1", "--json")
    code, out, err = symcalc("phonons", "hcp.xyz", *METALS, *options)
    assert code in (0, 1)
    assert "idealised within 0.01 Å: P6_3/mmc (194)" in err
    assert not any("Make its symmetry exact" in each for each in json.loads(out)["warnings"])


def test_an_unstable_crystal_has_an_exit_code(symcalc, tmp_path):
    write(tmp_path / "copper.xyz", bulk("Cu", a=4.1))
    code, out, err = symcalc("phonons", "copper.xyz", *METALS, *SMALL)
    assert code == 1
    assert "symcalc phonons: imaginary modes: " in err
    assert "i THz at " in out
    record = json.loads((tmp_path / "copper-phonons.json").read_text())
    assert any("imaginary modes" in sentence for sentence in record["warnings"])


def test_a_stopped_run_goes_on(symcalc, tmp_path, monkeypatch):
    from ase_symcalc.cli.vibrating import ForceKeeper

    write(tmp_path / "diamond.xyz", bulk("Si", a=5.47))
    shown = ForceKeeper.step

    def stop(self, step: ForcesStep, where: str = ""):
        shown(self, step, where)
        raise KeyboardInterrupt

    monkeypatch.setattr(ForceKeeper, "step", stop)
    code, out, err = symcalc("phonons", "diamond.xyz", *METALS, *SMALL)
    assert (code, out) == (130, "")
    assert "the forces of 1 supercells are in diamond-phonons-forces.npz. To go on: " in err
    again = err.strip().splitlines()[-1].split("To go on: symcalc ")[1].split()
    monkeypatch.setattr(ForceKeeper, "step", shown)
    code, _, err = symcalc(*again)
    assert code == 0, err


def test_stopped_before_the_first_supercell(symcalc, diamond, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["ase_symcalc.apps.phonons"], "force_constants", stop)
    code, _, err = symcalc("phonons", diamond, *METALS, *SMALL)
    assert code == 130
    assert "stopped before the first supercell; nothing was written" in err
    assert list(diamond.parent.iterdir()) == [diamond]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--supercell", "0", "2", "2"), "three whole numbers from 1"),
        (("--min-length", "-3"), "min_length above 0"),
        (("--imaginary", "nan"), "imaginary above 0"),
        (("--max-temperature", "0"), "max_temperature above 0"),
        (("--yaml", "no/such.yaml"), "there is no folder no"),
        (("--yaml", "x.json", "--out", "x.json"), "two outputs would both go to x.json"),
        (("--resume", "missing.npz"), "missing.npz"),
        (
            ("--resume", "diamond.xyz"),
            "holds no forces; expected the file that a stopped run named\n",
        ),
        (("--out", "x.txt"), "a file ending in .json"),
    ],
)
def test_argument_that_cannot_be_met(symcalc, diamond, arguments, message):
    code, out, err = symcalc("phonons", diamond, *METALS, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("symcalc phonons: ")
    assert message in err
    assert list(diamond.parent.iterdir()) == [diamond]


def test_thermal_expansion(symcalc, diamond):
    code, out, err = symcalc(
        "qha", diamond, *METALS, *SMALL, "--max-temperature", "400",
        "--volumes", "0.96", "0.98", "1.0", "1.02", "1.04",
    )  # fmt: skip
    assert code == 0, err
    for row in ("Thermal expansion of Si2", "linear expansion", "5 of 5"):
        assert row in out
    assert "volume 5 of 5, supercells of 16 atoms" in err
    record = json.loads((diamond.parent / "diamond-qha.json").read_text())
    results = record["results"]
    assert results["temperature_K"][-1] == 400
    assert len(results["bulk_modulus_GPa"]) == len(results["temperature_K"])
    assert 80 < results["bulk_modulus_GPa"][0] < 110
    assert imread(diamond.parent / "diamond-qha.png").ndim == 3


def test_too_few_volumes(symcalc, diamond):
    code, _, err = symcalc("qha", diamond, *METALS, "--volumes", "0.98", "1.0", "1.02")
    assert code == 2
    assert "at least 5 different volumes" in err
