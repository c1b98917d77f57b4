"""``symcalc export``: the file LAMMPS reads."""

import pickle

import pytest

from ase_symcalc.integrations.mliap import MLIAPPotential


def test_symcalc_export(symcalc, tmp_path):
    code, out, err = symcalc("export", "lammps", "small", "--out", "small.pkl")
    assert (code, err) == (0, "")
    assert "pair_style mliap unified small.pkl 0\n    pair_coeff * * Li Si" in out
    assert isinstance(pickle.loads((tmp_path / "small.pkl").read_bytes()), MLIAPPotential)
    code, out, _ = symcalc("export", "lammps", "small", "--out", "g.pkl", "--ghost-neighbours")
    assert "comm_modify cutoff 10" in out
    assert "unified g.pkl 1" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("small", "--out", "small.pt"), "expected a file such as small.pkl"),
        (("small", "--out", "no/where.pkl"), "there is no folder no"),
        (("nobody", "--out", "x.pkl"), "nobody"),
    ],
)
def test_what_cannot_be_exported_is_refused(symcalc, tmp_path, arguments, words):
    code, out, err = symcalc("export", "lammps", *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert not list(tmp_path.glob("*.p*"))
