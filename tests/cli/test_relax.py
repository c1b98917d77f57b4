"""``symcalc relax``: files in, files out, and a sentence for everything that cannot be done."""

import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111
from ase.io import read, write
from ase.spacegroup import crystal as crystal_of
from matplotlib.image import imread

from ase_symcalc import SymCalc
from ase_symcalc.apps import relax

SMALL = ("--potential", "small")
HEXAGONAL = (2.56, 2.56, 4.18, 90, 90, 120)


@pytest.mark.parametrize("name", ["silicon.cif", "POSCAR", "silicon.vasp", "silicon.extxyz"])
def test_relaxed_structure_has_the_format_of_the_input(symcalc, silicon, potential, name):
    write(name, silicon)
    before = Path(name).read_bytes()
    code, out, err = symcalc("relax", name, *SMALL)
    assert code == 0, err
    assert Path(name).read_bytes() == before
    stem, dot, ending = name.partition(".")
    relaxed = read(f"{stem}-relaxed{dot}{ending}")
    start = read(name)
    start.calc = SymCalc(potential)
    expected = relax(start).atoms
    np.testing.assert_allclose(relaxed.cell.cellpar(), expected.cell.cellpar(), rtol=1e-6)
    np.testing.assert_allclose(
        relaxed.get_all_distances(mic=True), expected.get_all_distances(mic=True), atol=1e-3
    )
    steps = "relaxed.traj" if name == "POSCAR" else f"{stem}-relaxed.traj"
    assert len(read(steps, ":")) > 2
    assert "converged in" in out


def test_trajectory_in_gives_extxyz_out(symcalc, silicon):
    write("md.traj", [silicon, silicon])
    code, _, err = symcalc("relax", "md.traj", *SMALL, "--no-cell")
    assert code == 0
    assert "md.traj holds 2 structures; taking the last" in err
    relaxed = read("md-relaxed.extxyz")
    np.testing.assert_allclose(relaxed.cell.array, silicon.cell.array, atol=1e-6)
    assert np.linalg.norm(relaxed.get_forces(), axis=1).max() < 0.01


def test_summary_says_what_changed(symcalc, crystal):
    code, out, err = symcalc("relax", crystal, *SMALL, "--fmax", "0.05")
    assert code == 0
    rows = ["a, b, c / Å", "angles / °", "volume / Å³", "space group", "energy / eV"]
    for row in [*rows, "fmax / (eV/Å)", "max stress / GPa", "small 1"]:
        assert row in out
    assert "preview" not in out
    steps = err.splitlines()
    assert steps[0].startswith("step    0  energy ")
    assert "fmax" in steps[-1]
    assert steps[-1].endswith("GPa")


def test_json_is_all_of_stdout(symcalc, crystal):
    code, out, _ = symcalc("relax", crystal, *SMALL, "--fmax", "0.05", "--json")
    record = json.loads(out)
    summary = record["results"]
    assert code == 0
    assert summary["converged"] is True
    assert {"name": "small", "version": "1", "preview": False}.items() <= record[
        "potential"
    ].items()
    assert record["settings"]["fmax_eV_per_angstrom"] == 0.05
    assert record["structure"]["formula"] == "Si8"
    assert summary["fmax_eV_per_angstrom"]["after"] < 0.05
    assert summary["energy_eV"]["after"] < summary["energy_eV"]["before"]
    after = summary["lattice"]["after"]
    relaxed = read(summary["structure"])
    assert after["lengths_angstrom"] == pytest.approx(relaxed.cell.lengths(), rel=1e-5)
    assert after["space_group"].endswith(")")
    images = read(summary["trajectory"], ":")
    assert len(images) == summary["steps"] + 1
    assert images[-1].get_potential_energy() == pytest.approx(summary["energy_eV"]["after"])


def test_quiet_says_nothing(symcalc, crystal):
    assert symcalc("relax", crystal, *SMALL, "--fmax", "0.05", "--quiet") == (0, "", "")


def test_names_of_all_outputs_can_be_chosen(symcalc, crystal, tmp_path):
    (tmp_path / "results").mkdir()
    names = ["results/out.vasp", "results/steps.traj", "results/steps.png"]
    options = zip(("--out", "--trajectory", "--plot"), names, strict=True)
    arguments = [word for option in options for word in option]
    code, out, _ = symcalc("relax", crystal, *SMALL, "--fmax", "0.05", *arguments)
    assert code == 0
    for name in names:
        assert name in out
    assert len(read("results/out.vasp")) == 8
    assert imread("results/steps.png").ndim == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results", "silicon.cif"]


def test_options_reach_the_relaxation(symcalc, crystal):
    code, out, _ = symcalc(
        "relax", crystal, *SMALL, "--no-cell", "--fmax", "0.1", "--optimizer", "FIRE",
        "--dtype", "float32", "--symmetry", "off", "--json",
    )  # fmt: skip
    summary = json.loads(out)["results"]
    assert code == 0
    before, after = summary["lattice"]["before"], summary["lattice"]["after"]
    assert before["lengths_angstrom"] == after["lengths_angstrom"]
    assert before["angles_degree"] == after["angles_degree"]


def test_few_digits_are_idealised_first(symcalc):
    hexagonal = crystal_of(["Cu"], [(1 / 3, 2 / 3, 1 / 4)], spacegroup=194, cellpar=HEXAGONAL)
    few = hexagonal.copy()
    few.set_scaled_positions(np.round(few.get_scaled_positions(), 4))
    write("few.xyz", few)
    _, _, err = symcalc("relax", "few.xyz", *SMALL, "--max-steps", "2", "--symprec", "1e-3")
    assert "idealised within 0.001 Å: P6_3/mmc (194); atoms moved by up to 0.0001" in err
    assert "free are 2 of 6 strains and 0 coordinates of atoms" in err
    assert "--symprec" not in err.splitlines()[-1]  # the command that goes on has no need of it
    start = read("few-relaxed.traj", 0)
    np.testing.assert_allclose(start.positions, hexagonal.positions, rtol=0, atol=1e-12)
    np.testing.assert_allclose(start.cell.array, few.cell.array, rtol=0, atol=1e-14)

    options = ("--max-steps", "2", "--json", "--quiet")
    _, out, err = symcalc("relax", "few.xyz", *SMALL, *options, "--symprec", "1e-3")
    assert json.loads(out)["results"]["idealised"]["space_group"] == "P6_3/mmc (194)"
    assert "idealised" not in err
    _, out, _ = symcalc("relax", "few.xyz", *SMALL, *options)
    assert json.loads(out)["results"]["idealised"] is None


@pytest.mark.parametrize("value", ["-1e-3", "nan", "0.11", "0", "inf"])
def test_a_tolerance_without_meaning(symcalc, crystal, tmp_path, value):
    message = refused(symcalc, tmp_path, crystal, *SMALL, f"--symprec={value}")
    assert f"expected a tolerance above 0 and up to 0.1 Å, got {value}" in message.replace(
        "-0.001", "-1e-3"
    ).replace("0.0", "0")


def test_what_is_no_crystal_cannot_be_idealised(symcalc, tmp_path):
    write(tmp_path / "pair.xyz", Atoms("Cu2", [(0, 0, 0), (0, 0, 2.3)]))
    message = refused(symcalc, tmp_path, "pair.xyz", *SMALL, "--symprec", "1e-3")
    assert "a space group needs atoms that repeat along all three directions" in message


def test_molecule_has_no_lattice(symcalc):
    write("pair.xyz", Atoms("Cu2", [(0, 0, 0), (0, 0, 2.3)]))
    _, out, _ = symcalc("relax", "pair.xyz", *SMALL, "--max-steps", "2")
    assert "volume" not in out
    assert "max stress" not in out


def test_slab_has_a_lattice_but_no_space_group(symcalc):
    write("slab.vasp", fcc111("Cu", (1, 1, 3), vacuum=6))
    slab = read("slab.vasp")
    slab.pbc = (True, True, False)
    write("slab.xyz", slab)
    _, out, _ = symcalc("relax", "slab.xyz", *SMALL, "--max-steps", "2", "--json")
    lattice = json.loads(out)["results"]["lattice"]
    assert lattice["before"]["space_group"] is None
    assert lattice["after"]["lengths_angstrom"][2] == pytest.approx(
        lattice["before"]["lengths_angstrom"][2]
    )


def test_unconverged_is_written_and_says_what_to_try(symcalc, crystal):
    code, out, err = symcalc("relax", crystal, *SMALL, "--max-steps", "2", "--dtype", "float32")
    assert code == 1
    assert "NOT converged in 2 steps" in out
    assert "not converged after 2 steps: the largest force is" in err
    assert "symcalc relax silicon-relaxed.traj --out silicon-relaxed.cif" in err
    assert "--max-steps" in err
    assert "float32 may be too coarse" in err
    assert len(read("silicon-relaxed.cif")) == 8


def test_stopped_relaxation_can_be_resumed(symcalc, crystal, monkeypatch):
    from ase_symcalc.cli.progress import Progress

    shown = Progress.update

    def stop_at_three(self, text):
        shown(self, text)
        if text.startswith("step    3"):
            raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "update", stop_at_three)
    code, out, err = symcalc("relax", crystal, *SMALL, "--no-cell", "--fmax", "0.02")
    assert code == 130
    assert out == ""
    resume = "symcalc relax silicon-relaxed.traj --out silicon-relaxed.cif --potential small"
    resume += " --no-cell --fmax 0.02"
    assert f"stopped after 3 steps, all of them in silicon-relaxed.traj. To go on: {resume}" in err
    assert len(read("silicon-relaxed.traj", ":")) == 4

    monkeypatch.setattr(Progress, "update", shown)
    code, _, _ = symcalc(*resume.split()[1:])
    assert code == 0
    assert len(read("silicon-relaxed.cif")) == 8


def test_stopped_before_the_first_step(symcalc, crystal, monkeypatch, tmp_path):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(SymCalc, "calculate", stop)
    code, _, err = symcalc("relax", crystal, *SMALL)
    assert code == 130
    assert "stopped before the first step; nothing was written" in err
    assert list(tmp_path.iterdir()) == [crystal]


def refused(symcalc, tmp_path, *arguments):
    """What a command says that is refused before it computes or writes anything."""
    before = sorted(tmp_path.iterdir())
    code, out, err = symcalc("relax", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("symcalc relax: ")
    assert len(err.splitlines()) == 1
    assert sorted(tmp_path.iterdir()) == before
    return err


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.cif", "", "empty.cif is empty"),
        ("POSCAR", "Si\n1.0\n1 0 0\n0 1\n", "could not read POSCAR as vasp"),
        ("nothing.cif", "data_x\n", "nothing.cif holds no structure"),
        ("structure.unknown", "no structure\n", "does not know the format of structure.unknown"),
        ("none.xyz", "\n", "none.xyz"),
        ("words.cif", "some words\n", "as cif (AssertionError); check"),
    ],
)
def test_file_that_cannot_be_read(symcalc, tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    assert message in refused(symcalc, tmp_path, name, *SMALL)


def test_file_that_is_not_there(symcalc, tmp_path):
    assert "missing.cif does not exist" in refused(symcalc, tmp_path, "missing.cif", *SMALL)
    assert "is a folder" in refused(symcalc, tmp_path, tmp_path, *SMALL)


def test_unknown_potential_lists_the_known(symcalc, crystal, tmp_path):
    message = refused(symcalc, tmp_path, crystal, "--potential", "smal")
    assert "smal" in message
    assert "small" in message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--out", "silicon.cif"), "silicon.cif is the input, which is never overwritten"),
        (("--out", "no/such/folder.cif"), "there is no folder no/such"),
        (("--out", "out.unknown"), "cannot write this structure to out.unknown"),
        (("--out", "."), "is a folder"),
        (("--trajectory", "steps.xyz"), "a name that ends in .traj and that"),
        (("--trajectory", "POSCAR.traj"), "ASE takes for no other, got POSCAR.traj"),
        (("--trajectory", "no/steps.traj"), "there is no folder no"),
        (("--plot", "steps.gif"), "expected a picture ending in one of .png, .pdf, .svg"),
        (("--out", "x.traj", "--trajectory", "x.traj"), "two outputs would both go to x.traj"),
        (("--fmax", "-1"), "expected fmax above 0"),
        (("--fmax", "inf"), "expected fmax above 0 eV/Å and finite, got inf"),
        (("--report", "page.pdf"), "expected a report ending in .html; got page.pdf"),
        (("--report", "no/page.html"), "there is no folder no"),
        (("--plot", "a.pdf", "--report", "a.html"), "must end in .png or .svg: a.pdf"),
        (("--max-steps", "-1"), "expected max_steps of 0 or more"),
        (("--symmetry", "7"), "symmetry"),
    ],
)
def test_argument_that_cannot_be_met(symcalc, crystal, tmp_path, arguments, message):
    assert message in refused(symcalc, tmp_path, crystal, *SMALL, *arguments)


def test_output_without_permission(symcalc, crystal, tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda *_: False)
    assert "no permission" in refused(symcalc, tmp_path, crystal, *SMALL)


def test_element_the_potential_does_not_know(symcalc, tmp_path):
    write(tmp_path / "gold.xyz", Atoms("Au", cell=(3, 3, 3), pbc=True))
    assert "Au" in refused(symcalc, tmp_path, "gold.xyz", *SMALL)


def test_atoms_on_top_of_each_other(symcalc, tmp_path):
    write(tmp_path / "pair.xyz", Atoms("Cu2", [(0, 0, 0), (0, 0, 0.01)]))
    assert "apart" in refused(symcalc, tmp_path, "pair.xyz", *SMALL)


def test_elements_that_never_met_are_named_once(symcalc, tmp_path):
    atoms = bulk("Cu", cubic=True)
    atoms[0].symbol = "Ni"
    write(tmp_path / "alloy.cif", atoms)
    shipped = ("relax", "alloy.cif", "--potential", "metals-preview", "--no-cell")
    code, out, err = symcalc(*shipped, "--json")
    assert code == 0
    sentence = "symcalc relax: warning: No Ni was near Cu where metals-preview was trained"
    assert err.count(sentence) == 1
    assert any("No Ni was near Cu" in text for text in json.loads(out)["warnings"])
    assert symcalc(*shipped, "--quiet") == (0, "", "")
