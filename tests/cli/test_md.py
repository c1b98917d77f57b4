"""``symcalc md``: a run, what is drawn from it, and how it goes on."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import read, write

from ase_symcalc.cli import md_report

SMALL = ("--potential", "small", "--temperature", "300")
SHORT = (*SMALL, "--steps", "70", "--every", "1")
FILES = ["silicon-md.csv", "silicon-md.json", "silicon-md.png", "silicon-md.restart"]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_run_leaves_numbers_and_a_picture(symcalc, crystal, tmp_path):
    code, out, err = symcalc("md", crystal, *SHORT, "--report", "md.html")
    assert code == 0, err
    assert names(tmp_path) == ["md.html", *FILES, "silicon-md.traj", "silicon.cif"]
    record = json.loads(Path("silicon-md.json").read_text(encoding="utf-8"))
    images = read("silicon-md.traj", ":")
    assert len(images) == 71
    assert record["settings"]["ensemble"] == "nvt"
    assert record["settings"]["timestep_fs"] == 2.0
    results = record["results"]
    assert results["time_ps"] == pytest.approx(0.14)
    assert results["degrees_of_freedom"] == 21
    assert results["temperature_K"]["error"] > 0
    radial = results["radial_distribution"]
    assert len(radial["distance_angstrom"]) == len(radial["partial"]["Si-Si"])
    assert [each["element"] for each in results["diffusion"]] == ["Si"]
    assert results["diffusion"][0]["is_diffusive"] is False
    assert any("no diffusion of Si was seen" in words for words in record["warnings"])
    for words in ("temperature / K", "drift / (meV/atom/ps)", "not diffusive", "pressure / GPa"):
        assert words in out
    for name in FILES:
        assert name in out
    assert "timestep 2 fs, the lightest element is Si; 70 steps are 0.14 ps" in err
    last, analysis = err.splitlines()[-2:]
    assert analysis.startswith("the run is complete; reading silicon-md.traj back")
    assert last.startswith("70/70  0.140 ps  ")
    for words in (" K  ", "kinetic", "drift", "meV/atom", "ps/day"):
        assert words in last
    assert "Molecular dynamics of Si8" in Path("md.html").read_text(encoding="utf-8")


def test_json_and_quiet(symcalc, crystal):
    few = (*SMALL, "--time", "0.01", "--every", "1")
    code, out, err = symcalc("md", crystal, *few, "--json", "--quiet")
    assert (code, err) == (0, "")
    record = json.loads(out)
    assert record["results"]["diffusion"] == []
    assert record["settings"]["steps"] == 5


def test_options_reach_the_run(symcalc, crystal):
    options = "--ensemble npt-cell --steps 10 --every 2 --timestep 1 --pressure 0:2 --seed 3"
    options += " --temperature 300:400 --thermostat-time 50 --barostat-time 500 --dtype float32"
    options += " --supercell 1 1 2 --trajectory run.extxyz --new-velocities --symmetry off"
    code, out, err = symcalc("md", crystal, *SMALL, *options.split(), "--json")
    assert code == 0, err
    settings = json.loads(out)["settings"]
    assert settings["temperature_K"] == [300, 400]
    assert settings["pressure_GPa"] == [0, 2]
    assert settings["seed"] == 3
    images = read("run.extxyz", ":")
    assert len(images) == 6
    assert len(images[0]) == 16
    assert images[-1].info["time_fs"] == 10
    assert Path("run.csv").exists()
    volumes = [atoms.get_volume() for atoms in images]
    assert np.ptp(volumes) > 0


def test_stopped_run_goes_on_with_the_command_it_names(symcalc, crystal, monkeypatch):
    from ase_symcalc.cli.md import _Watch

    shown = _Watch.show

    def stop_at_thirty(self, step):
        shown(self, step)
        if step.step == 30:
            raise KeyboardInterrupt

    monkeypatch.setattr(_Watch, "show", stop_at_thirty)
    code, out, err = symcalc("md", crystal, *SHORT)
    assert (code, out) == (130, "")
    sentence = err.splitlines()[-1]
    assert "stopped; everything up to step 30 is in silicon-md.traj. To go on: " in sentence
    assert len(read("silicon-md.traj", ":")) == 31
    monkeypatch.setattr(_Watch, "show", shown)

    words = shlex.split(sentence.split("To go on: ")[1])
    code, out, err = symcalc(*words[1:], "--json")
    assert code == 0, err
    assert json.loads(out)["results"]["resumed_from"] == 30
    broken = read("silicon-md.traj", ":")
    symcalc("md", crystal, *SHORT, "--trajectory", "whole.traj")
    whole = read("whole.traj", ":")
    assert len(broken) == len(whole) == 71
    np.testing.assert_array_equal(broken[-1].positions, whole[-1].positions)
    assert Path("whole.csv").read_bytes() == Path("silicon-md.csv").read_bytes()


def test_stopped_in_the_analysis(symcalc, crystal, ctrl_c):
    again = ctrl_c(md_report, "analyse")
    code, out, err = symcalc("md", crystal, *SHORT)
    assert (code, out) == (130, "")
    assert "reading silicon-md.traj back" in err
    sentence = err.splitlines()[-1]
    assert "the run itself is complete: 70 steps are in silicon-md.traj and silicon-md.csv" in err
    again()
    words = shlex.split(sentence.split("To see what they show: ")[1])
    code, _, err = symcalc(*words[1:])
    assert code == 0, err
    assert Path("silicon-md.json").exists()


def test_stopped_before_the_first_step(symcalc, crystal, monkeypatch, tmp_path):
    from ase_symcalc import SymCalc

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(SymCalc, "calculate", stop)
    code, _, err = symcalc("md", crystal, *SHORT)
    assert code == 130
    assert "stopped before the first step; nothing was written" in err
    assert names(tmp_path) == ["silicon.cif"]


def test_velocities_of_the_file_are_kept(symcalc, crystal):
    symcalc("md", crystal, *SMALL, "--steps", "10", "--quiet")
    options = (*SMALL, "--steps", "0", "--ensemble", "nve")
    code, _, err = symcalc("md", "silicon-md.traj", *options)
    assert code == 0
    assert "silicon-md.traj holds 2 structures; taking the last" in err
    assert "keeping the velocities of silicon-md.traj; --new-velocities draws others" in err
    first, second = read("silicon-md.traj"), read("silicon-md-md.traj")
    np.testing.assert_allclose(first.get_momenta(), second.get_momenta(), atol=1e-9)


def test_drift_is_told(symcalc, crystal, monkeypatch):
    monkeypatch.setattr("ase_symcalc.cli.md_report.TOO_FAR", 0.0)
    code, _, err = symcalc("md", crystal, *SHORT)
    assert code == 1
    assert "the conserved energy drifted by" in err
    assert "try a timestep shorter than 2 fs" in err


def test_long_timestep_is_told(symcalc, crystal):
    code, _, err = symcalc("md", crystal, *SMALL, "--steps", "1", "--timestep", "6")
    assert code in (0, 1)
    assert "warning: 6 fs is long for Si; beyond 5.3 fs its fastest vibrations" in err
    assert "6 fs is long" in Path("silicon-md.json").read_text(encoding="utf-8")


def test_explosion_ends_in_a_sentence(symcalc, crystal):
    arguments = ("--timestep", "80", "--every", "1", "--steps", "200", "--ensemble", "nve")
    code, out, err = symcalc("md", crystal, *SMALL[:2], "--temperature", "3000", *arguments)
    assert (code, out) == (2, "")
    sentence = err.splitlines()[-1]
    assert sentence.startswith("symcalc md: step ")
    assert "the run ends here. silicon-md.traj is whole up to step" in sentence
    last = int(sentence.split("whole up to step ")[1].split(".")[0])
    assert len(read("silicon-md.traj", ":")) == last + 1


def test_full_disk_ends_in_a_sentence(symcalc, crystal):
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        code, _, err = symcalc("md", crystal, *SHORT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert code == 2
    sentence = err.splitlines()[-1]
    assert sentence.startswith("symcalc md: silicon-md.traj: ")
    last = int(sentence.split("everything up to step ")[1].split()[0])
    assert len(read("silicon-md.traj", ":")) == last + 1 > 3


def test_molecule(symcalc):
    write("pair.xyz", Atoms("Cu3", [(0, 0, 0), (0, 0, 2.3), (0, 2.2, 0)]))
    code, out, err = symcalc("md", "pair.xyz", *SMALL, "--steps", "3", "--every", "1", "--json")
    assert code == 0, err
    results = json.loads(out)["results"]
    assert results["radial_distribution"] is None
    assert results["pressure_GPa"] is None
    assert results["degrees_of_freedom"] == 3


def test_poscar_gets_a_name_that_ase_understands(symcalc, silicon):
    write("POSCAR", silicon)
    code, _, err = symcalc("md", "POSCAR", *SMALL, "--steps", "1")
    assert code == 0, err
    assert Path("md.traj").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--trajectory", "run.db"), "to end in .traj, .xyz or .extxyz"),
        (("--trajectory", "POSCAR.traj"), "ASE would take POSCAR.traj for another format"),
        (("--trajectory", "no/run.traj"), "there is no folder no"),
        (("--out", "silicon-md.csv"), "ending in .json"),
        (("--supercell", "0", "1", "1"), "multiples of the cell of 1 or more"),
        (("--time", "-1"), "a time of 0 ps or more"),
        (("--time", "nan"), "a time of 0 ps or more"),
        (("--timestep", "-2"), "a timestep above 0 fs"),
        (("--temperature", "0"), "a temperature above 0 K"),
        (("--pressure", "1"), "a pressure needs a cell that changes"),
        (("--every", "0"), "logged every 1 or more"),
    ],
)
def test_argument_that_cannot_be_met(symcalc, crystal, tmp_path, arguments, message):
    code, out, err = symcalc("md", crystal, *SMALL, *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert names(tmp_path) == ["silicon.cif"]


def test_temperature_must_be_numbers(symcalc, crystal, capsys):
    for text in ("warm", "1:2:3", ""):
        with pytest.raises(SystemExit) as stop:
            symcalc("md", crystal, "--temperature", text)
        assert stop.value.code == 2
        assert "expected a number, or two for a ramp such as 300:900" in capsys.readouterr().err


def test_a_run_is_not_overwritten(symcalc, crystal):
    symcalc("md", crystal, *SMALL, "--steps", "1", "--quiet")
    code, _, err = symcalc("md", crystal, *SMALL, "--steps", "1")
    assert code == 2
    assert "silicon-md.traj exists, and a run is never overwritten; go on with it" in err


def test_single_atom(symcalc):
    write("one.vasp", bulk("Cu"))
    code, _, err = symcalc("md", "one.vasp", *SMALL)
    assert code == 2
    assert "at least two atoms" in err
