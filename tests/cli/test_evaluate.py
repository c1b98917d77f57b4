"""``symcalc evaluate``: the numbers of `evaluate`, and errors against labels."""

import json

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from ase.units import GPa

from ase_symcalc import evaluate

SMALL = ("--potential", "small")


@pytest.fixture
def images(silicon):
    """A crystal and a molecule: one has a stress, the other none."""
    return [silicon, Atoms("Cu2", [(0, 0, 0), (0.3, 0, 2.3)])]


def test_numbers_are_those_of_evaluate(symcalc, images, potential):
    write("two.xyz", images)
    code, out, _ = symcalc("evaluate", "two.xyz", *SMALL, "--json")
    assert code == 0
    summary = json.loads(out)
    assert summary["errors"] == {}
    for row, result in zip(
        summary["images"], evaluate(read("two.xyz", ":"), potential), strict=True
    ):
        assert row["energy_eV"] == pytest.approx(result.energy, abs=1e-9)
        fmax = np.linalg.norm(result.forces, axis=1).max()
        assert row["fmax_eV_per_angstrom"] == pytest.approx(fmax, abs=1e-9)
    in_gpa = evaluate(images[0], potential)[0].stress / GPa
    xx_yy_zz_yz_xz_xy = in_gpa[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    assert summary["images"][0]["stress_GPa"] == pytest.approx(xx_yy_zz_yz_xz_xy, abs=1e-5)
    assert summary["images"][1]["stress_GPa"] is None


def test_table_has_a_row_for_every_image(symcalc, images):
    write("two.xyz", images)
    code, out, _ = symcalc("evaluate", "two.xyz", *SMALL)
    assert code == 0
    assert "Si8" in out
    assert "Cu2" in out
    assert "no volume" in out
    assert "MAE" not in out


def test_results_can_be_written(symcalc, images, potential):
    write("two.xyz", images)
    symcalc("evaluate", "two.xyz", *SMALL, "--out", "labelled.extxyz")
    crystal, molecule = read("labelled.extxyz", ":")
    expected = evaluate(read("two.xyz", ":"), potential)
    assert crystal.get_potential_energy() == pytest.approx(expected[0].energy)
    np.testing.assert_allclose(crystal.get_forces(), expected[0].forces, atol=1e-7)
    np.testing.assert_allclose(crystal.get_stress(voigt=False), expected[0].stress, atol=1e-7)
    np.testing.assert_allclose(molecule.get_potential_energies(), expected[1].atomic_energies)
    assert "stress" not in molecule.calc.results


def test_errors_against_labels(symcalc, images, potential):
    shifts = ((0.08, 0.02, 0.001), (-0.02, -0.01, None))  # eV, eV/Å, eV/Å³
    for image, result, (energy, force, stress) in zip(
        images, evaluate(images, potential), shifts, strict=True
    ):
        labels = {"energy": result.energy + energy, "forces": result.forces + force}
        if stress is not None:
            labels["stress"] = (result.stress + stress)[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        image.calc = SinglePointCalculator(image, **labels)
    write("labelled.traj", images)
    _, out, _ = symcalc("evaluate", "labelled.traj", *SMALL, "--json")
    errors = json.loads(out)["errors"]
    assert errors["energy"] == {
        "MAE": pytest.approx(10),
        "RMSE": pytest.approx(10),
        "unit": "meV/atom",
    }
    assert errors["forces"]["MAE"] == pytest.approx((24 * 20 + 6 * 10) / 30)
    assert errors["forces"]["RMSE"] == pytest.approx(np.sqrt((24 * 400 + 6 * 100) / 30))
    assert errors["stress"]["MAE"] == pytest.approx(0.1602177, rel=1e-6)
    _, out, _ = symcalc("evaluate", "labelled.traj", *SMALL)
    assert "10.000" in out
    assert "meV/atom" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--out", "results.cif"), "expected --out to end in .extxyz or .xyz"),
        (("--out", "silicon.xyz"), "is the input, which is never overwritten"),
        (("--out", "no/results.xyz"), "there is no folder no"),
        (("--potential", "unheard-of"), "unheard-of"),
    ],
)
def test_what_cannot_be_done_is_said_before_computing(symcalc, silicon, arguments, message):
    write("silicon.xyz", silicon)
    code, out, err = symcalc("evaluate", "silicon.xyz", *SMALL, *arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_which_structure_is_wrong(symcalc, images):
    images[1].symbols[0] = "Au"
    write("two.xyz", images)
    code, _, err = symcalc("evaluate", "two.xyz", *SMALL)
    assert code == 2
    assert "structure 1" in err
    assert "Au" in err
