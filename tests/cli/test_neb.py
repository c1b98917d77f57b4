"""``symcalc neb``: two files in, a barrier out, and how it goes on."""

import json
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.io import read, write
from matplotlib.image import imread

from ase_symcalc.cli.progress import Progress

ROUGH = ("--potential", "metals-preview", "--images", "3", "--fmax", "0.05")


@pytest.fixture
def ends(tmp_path):
    """A vacancy in lithium before and after a hop, in two files."""
    crystal = bulk("Li", a=3.44, cubic=True) * (2, 2, 2)
    after = crystal.copy()
    after.positions[1] = crystal.positions[0]
    for name, atoms in (("a.extxyz", crystal), ("b.extxyz", after)):
        write(tmp_path / name, atoms[1:])
    return "a.extxyz", "b.extxyz"


def test_two_files_give_a_barrier(symcalc, ends):
    code, out, err = symcalc("neb", *ends, *ROUGH, "--report", "path.html")
    assert code == 0, err
    record = json.loads(Path("a-neb.json").read_text())
    results = record["results"]
    assert results["barrier_forward_eV"] == pytest.approx(results["barrier_backward_eV"], abs=1e-3)
    assert results["imaginary_modes"] == 1
    assert results["report"] == "path.html"
    assert "curvature of the saddle, displacement" in err
    assert f"{results['barrier_forward_eV']:.4f}" in out
    path = read("a-neb.traj", ":")
    energies = [image.get_potential_energy() for image in path]
    np.testing.assert_allclose(energies, results["energies_eV"], atol=1e-9)
    assert imread("a-neb.png").std() > 0.05
    assert "barrier forward / eV" in Path("path.html").read_text(encoding="utf-8")
    assert err.splitlines()[0].startswith("first end step    0  fmax")
    assert record["potential"]["name"] == "metals-preview"


def test_unconverged_path_goes_on(symcalc, ends):
    code, out, err = symcalc("neb", *ends, *ROUGH, "--max-steps", "2", "--json")
    assert code == 1
    assert json.loads(out)["results"]["converged"] is False
    assert "not converged after" in err
    assert "the largest force on the path is" in err
    assert "--max-steps 2 --json --resume`" in err
    assert len(read("a-neb.traj", ":")) == 5
    code, out, _ = symcalc("neb", *ends, *ROUGH, "--resume", "--json", "--images", "9", "--quiet")
    results = json.loads(out)["results"]
    assert code == 0
    assert len(results["energies_eV"]) == 5


def test_stopped_path_can_be_resumed(symcalc, ends, monkeypatch):
    shown = Progress.update

    def stop_on_the_path(self, text):
        shown(self, text)
        if text.startswith("path") and "step    1" in text:
            raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "update", stop_on_the_path)
    code, out, err = symcalc("neb", *ends, *ROUGH)
    assert (code, out) == (130, "")
    assert "stopped; the path is in a-neb.traj. To go on: symcalc neb a.extxyz" in err
    assert "--resume" in err
    assert len(read("a-neb.traj", ":")) == 5


def test_stopped_while_ends_relax(symcalc, ends, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "update", stop)
    code, _, err = symcalc("neb", *ends, *ROUGH)
    assert code == 130
    assert "stopped while the ends were being relaxed; nothing was written" in err


def test_one_file_with_a_path(symcalc, ends):
    first, last = (read(name) for name in ends)
    middle = first.copy()
    middle.positions = (first.positions + last.positions) / 2
    write("path.traj", [first, middle, last])
    code, out, err = symcalc("neb", "path.traj", *ROUGH, "--no-climb", "--json")
    assert code == 0
    assert "path.traj holds 3 images; starting from that path" in err
    assert len(json.loads(out)["results"]["energies_eV"]) == 3
    write("many.traj", [last, first])
    _, _, err = symcalc("neb", "many.traj", ends[1], *ROUGH, "--max-steps", "0")
    assert "many.traj holds 2 structures; taking the last" in err


def test_order_is_mended_if_asked(symcalc, ends):
    last = read(ends[1])
    write("c.extxyz", last[[*range(5, 15), *range(5)]])
    code, _, err = symcalc("neb", ends[0], "c.extxyz", *ROUGH)
    assert code == 2
    assert "different orders" in err
    assert "--order nearest" in err
    code, _, err = symcalc("neb", ends[0], "c.extxyz", *ROUGH, "--order", "nearest", "--no-climb")
    assert code == 0, err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("a.extxyz",), "a.extxyz holds one structure; a path needs two ends"),
        (("a.extxyz", "b.extxyz", "a.extxyz"), "expected two files"),
        (("a.extxyz", "a.extxyz"), "the two ends are one structure"),
        (("a.extxyz", "none.cif"), "none.cif does not exist"),
        (("a.extxyz", "b.extxyz", "--resume"), "a-neb.traj, which does not exist"),
        (("a.extxyz", "b.extxyz", "--images", "0"), "at least one image"),
        (("a.extxyz", "b.extxyz", "--trajectory", "x.xyz"), "a name that ends in .traj"),
        (("a.extxyz", "b.extxyz", "--out", "x.txt"), "ending in .json"),
        (("a.extxyz", "b.extxyz", "--plot", "x.gif"), "expected a picture ending in"),
    ],
)
def test_what_is_refused(symcalc, ends, tmp_path, arguments, words):
    before = sorted(tmp_path.iterdir())
    code, out, err = symcalc("neb", *arguments, "--potential", "metals-preview")
    assert (code, out) == (2, "")
    assert err.startswith("symcalc neb: ")
    assert words in err
    assert sorted(tmp_path.iterdir()) == before


def test_path_of_something_else_is_not_gone_on_from(symcalc, ends):
    write("a-neb.traj", [bulk("Cu")] * 3)
    code, _, err = symcalc("neb", *ends, *ROUGH, "--resume")
    assert code == 2
    assert "holds no path of these structures: 3 images of Cu" in err


def test_inputs_are_never_written_to(symcalc, ends):
    write("b.traj", read(ends[1]))
    code, _, err = symcalc("neb", ends[0], "b.traj", *ROUGH, "--trajectory", "b.traj")
    assert code == 2
    assert "b.traj is the input" in err
