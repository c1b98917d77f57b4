"""``symcalc describe``: a file in, groups with names out."""

import json

import numpy as np
import pytest
from ase.build import bulk, fcc111
from ase.io import write
from matplotlib.image import imread


@pytest.fixture
def slab(tmp_path):
    path = tmp_path / "slab.traj"
    write(path, fcc111("Cu", (2, 2, 6), vacuum=6))
    return path


def test_slab_has_an_inside_and_surfaces(symcalc, slab):
    code, out, err = symcalc("describe", slab)
    assert code == 0, err
    for words in ("Cu fcc", "Cu surface", "fcc: 67 %", "surface: 33 %", "not a crystal"):
        assert words in out
    record = json.loads((slab.parent / "slab-describe.json").read_text())
    results = record["results"]
    assert [group["atoms_in_last_frame"] for group in results["groups"]] == [16, 8]
    assert results["label_of_atom"][0].count("surface") == 8
    assert record["potential"] is None
    assert imread(slab.parent / "slab-describe.png").ndim == 3
    page = (slab.parent / "slab-describe.html").read_text()
    assert "const data = {" in page


def test_trajectory_is_followed_and_printed_as_json(symcalc, tmp_path):
    crystal = bulk("Cu", cubic=True) * (2, 2, 2)
    molten = crystal.copy()
    molten.positions += np.random.default_rng(1).normal(0, 0.55, molten.positions.shape)
    write(tmp_path / "melt.traj", [crystal, molten])
    code, out, _ = symcalc("describe", "melt.traj", "--json", "--quiet", "--descriptor", "network")
    record = json.loads(out)
    assert code == 0
    assert record["results"]["n_frames"] == 2
    assert record["results"]["label_fractions"]["fcc"][0] == 1
    assert record["potential"]["name"]


def test_many_groups_are_cut_short(symcalc, tmp_path):
    atoms = bulk("Cu", cubic=True) * (2, 2, 2)
    atoms.rattle(0.4, seed=1)
    write(tmp_path / "melt.traj", atoms)
    code, out, err = symcalc("describe", "melt.traj", "--threshold", 0.001)
    assert code == 0, err
    assert "in 12 smaller groups" in out
    assert len(out.splitlines()) < 60
    record = json.loads((tmp_path / "melt-describe.json").read_text())
    assert len(record["results"]["groups"]) == 32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--atom", 24), "--atom from 0 to 23"),
        (("--lmax", -1), "a degree of 0 or more"),
        (("--descriptor", "bispectrum", "--lmax", 70, "--radial", 8), "GB of memory"),
        (("--threshold", 0), "a threshold above 0"),
        (("--report", "page.txt"), "a report ending in .html"),
    ],
)
def test_argument_that_cannot_be_met(symcalc, slab, arguments, message):
    code, out, err = symcalc("describe", slab, *arguments, "--quiet")
    assert (code, out) == (2, "")
    assert message in err
    assert list(slab.parent.iterdir()) == [slab]
