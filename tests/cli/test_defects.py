"""``symcalc vacancy`` and ``symcalc surface``: files in, energies out."""

import json
import sys
from pathlib import Path

import pytest
from ase.build import bulk, fcc111
from ase.io import read, write
from matplotlib.image import imread

import ase_symcalc.apps  # noqa: F401
from ase_symcalc.cli.progress import Progress

POTENTIAL = ("--potential", "metals-preview")


@pytest.fixture
def lithium(tmp_path):
    path = tmp_path / "li.cif"
    write(path, bulk("Li", a=3.44))
    return path.name


def test_vacancy_with_its_hop(symcalc, lithium):
    code, out, err = symcalc(
        "vacancy", lithium, *POTENTIAL, "--min-length", "6", "--migration", "--images", "1",
        "--fmax", "0.05", "--report", "li.html",
    )  # fmt: skip
    assert code == 0, err
    record = json.loads(Path("li-vacancy.json").read_text())
    (site,) = record["results"]["sites"]
    assert site["wyckoff"] == "2a"
    energies = site["removal_energy_eV"] + site["chemical_potential_eV"]
    assert site["formation_energy_eV"] == pytest.approx(energies)
    assert f"{site['formation_energy_eV']:.4f}" in out
    assert site["hop"]["barrier_forward_eV"] > 0
    outputs = ("trajectory", "plot", "report")
    written = ["li-vacancy.traj", "li-vacancy.png", "li.html"]
    assert [record["results"][name] for name in outputs] == written
    assert "curvature of the saddle, displacement" in err
    assert any("from its images" in sentence for sentence in record["warnings"])
    supercell = read("li-vacancy.traj")
    assert len(supercell) == record["results"]["supercell_atoms"] - 1
    assert supercell.get_forces().shape == (len(supercell), 3)
    assert imread("li-vacancy.png").std() > 0.05
    assert "formation energy" in Path("li.html").read_text(encoding="utf-8")
    assert err.startswith("crystal: step    0  fmax")


def test_vacancy_alone_has_no_picture(symcalc, lithium):
    code, out, err = symcalc(
        "vacancy", lithium, *POTENTIAL, "--min-length", "5", "--mu", "Li=-1.5", "--quiet",
        "--json", "--fmax", "0.1", "--report", "li.html",
    )  # fmt: skip
    results = json.loads(out)["results"]
    (site,) = results["sites"]
    assert results["plot"] is None
    assert (code, err) == (0, "")
    assert site["chemical_potential_eV"] == -1.5
    assert not Path("li-vacancy.png").exists()
    assert Path("li.html").exists()


def test_surface(symcalc, lithium):
    code, out, err = symcalc(
        "surface", lithium, *POTENTIAL, "--hkl", "1", "1", "0", "--min-thickness", "8",
        "--fmax", "0.05", "--report", "li.html",
    )  # fmt: skip
    assert code == 0, err
    results = json.loads(Path("li-surface.json").read_text())["results"]
    (face,) = results["terminations"]
    assert results["hkl"] == [1, 1, 0]
    assert results["report"] == "li.html"
    assert face["energy_J_per_m2"] == pytest.approx(16.0217663 * face["energy_eV_per_angstrom2"])
    assert 0.3 < face["energy_J_per_m2"] < 0.8
    assert f"{face['energy_J_per_m2']:.4f}" in out
    assert [len(slab) for slab in read("li-surface.traj", ":")] == face["layers"]
    assert imread("li-surface.png").std() > 0.01
    assert Path("li.html").exists()


@pytest.mark.parametrize("command", [("vacancy",), ("surface", "--hkl", "1", "0", "0")])
def test_what_does_not_come_to_rest_has_exit_code_1(symcalc, lithium, command):
    name, *options = command
    code, _, err = symcalc(name, lithium, *POTENTIAL, *options, "--max-steps", "0")
    assert code == 1
    assert "not everything came to rest within 0.01 eV/Å" in err
    assert Path(f"li-{name}.json").exists()


COMMANDS = {
    "vacancy": ("--min-length", "5", "--migration", "--images", "1"),
    "surface": ("--hkl", "1", "0", "0", "--min-thickness", "5", "--vacuum", "8"),
}


@pytest.mark.parametrize(
    ("name", "at", "last"),
    [
        ("surface", 3, "Li face, "),
        ("vacancy", 2, "crystal"),
        ("vacancy", None, "hop, Li vacancy (a), atom 0"),
    ],
)
def test_stopped_run_goes_on(symcalc, lithium, ctrl_c, name, at, last):
    command = (name, lithium, *POTENTIAL, *COMMANDS[name], "--fmax", "0.1")
    module = sys.modules[f"ase_symcalc.apps.{name}"]
    again = ctrl_c(module, "relax", at) if at else ctrl_c(module, "_warnings")
    code, out, err = symcalc(*command)
    assert (code, out) == (130, "")
    assert f"(the last: {last}" in err
    assert f"and in li-{name}.partial.json. To go on: symcalc {name} li.cif" in err
    again()
    code, out, err = symcalc(*command, "--resume", "--json")
    assert code == 0, err
    assert "crystal" not in err
    assert not Path(f"li-{name}.partial.json").exists()
    _, whole, _ = symcalc(*command, "--json")
    assert json.loads(out)["results"] == json.loads(whole)["results"]


@pytest.mark.parametrize("command", [("vacancy",), ("surface", "--hkl", "1", "0", "0")])
def test_stopped(symcalc, lithium, command, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "update", stop)
    name, *options = command
    code, _, err = symcalc(name, lithium, *POTENTIAL, *options)
    assert code == 130
    assert "stopped; nothing was written" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("vacancy", "li.cif", "--min-length", "0"), "distance above 0"),
        (("vacancy", "li.cif", "--migration", "--images", "0"), "at least one image between"),
        (("vacancy", "li.cif", "--images", "0"), "at least one image between"),
        (("vacancy", "li.cif", "--mu", "Cu=1"), "given for Cu"),
        (("vacancy", "li.cif", "--plot", "x.png"), "ask for one with --migration"),
        (("vacancy", "slab.xyz"), "needs a crystal"),
        (("vacancy", "li.cif", "--trajectory", "x.xyz"), "a name that ends in .traj"),
        (("surface", "li.cif", "--hkl", "0", "0", "0"), "not all zero"),
        (("surface", "slab.xyz", "--hkl", "1", "0", "0"), "needs a crystal"),
        (("surface", "none.cif", "--hkl", "1", "0", "0"), "does not exist"),
        (("surface", "li.cif", "--hkl", "1", "0", "-1", "--vacuum", "1"), "vacuum of at least"),
    ],
)
def test_what_is_refused(symcalc, lithium, tmp_path, arguments, words):
    slab = fcc111("Cu", (1, 1, 3), vacuum=10)
    slab.info.clear()  # extxyz has no place for what ASE notes there
    write("slab.xyz", slab)
    before = sorted(tmp_path.iterdir())
    code, out, err = symcalc(*arguments, *POTENTIAL)
    assert (code, out) == (2, "")
    assert words in err
    assert sorted(tmp_path.iterdir()) == before


def test_chemical_potential_that_is_no_number(symcalc, lithium, capsys):
    with pytest.raises(SystemExit):
        symcalc("vacancy", lithium, "--mu", "Li")
    assert "such as Cu=-4.10, got 'Li'" in capsys.readouterr().err
