"""``symcalc screen`` and what looks into its store."""

import json

import pytest
from ase.build import bulk
from ase.io import write

from ase_symcalc.screening import Store, Tally

QUICK = ("--potential", "default", "--workers", "1", "--fmax", "0.05")


@pytest.fixture
def structures(tmp_path):
    images = [bulk("Cu", a=3.55), bulk("Ni", a=3.6), bulk("Au")]
    write(tmp_path / "in.extxyz", images)
    return "in.extxyz"


def test_screen_is_resumed_counted_merged_and_exported(symcalc, structures, tmp_path):
    code, out, err = symcalc("screen", structures, "--out", "a.sqlite", *QUICK)
    assert code == 1, err
    assert "3 structures read, 0 known already, 3 worked on (2 done, 1 failed)" in out
    assert "3/3" in err
    assert "--failed" in err
    code, out, _ = symcalc("screen", structures, "--out", "a.sqlite", *QUICK, "--json")
    assert code == 0
    assert json.loads(out) | {"seconds": 0} == {
        "store": "a.sqlite",
        "read": 3,
        "known": 3,
        "other_shards": 0,
        "done": 0,
        "statuses": {},
        "workers_lost": 0,
        "seconds": 0,
    }
    code, out, _ = symcalc("screen", "status", "a.sqlite", "--failed")
    assert code == 0
    assert "Au" in out
    assert "relax" in out
    code, out, _ = symcalc("screen-status", "a.sqlite", "--json")
    (counted,) = json.loads(out)["screens"].values()
    assert counted["statuses"] == {"done": 2, "failed": 1}
    code, out, _ = symcalc("screen-merge", "a.sqlite", "--out", "b.sqlite")
    assert (code, out) == (0, "a.sqlite: 3 results taken over\n")
    code, out, _ = symcalc("screen-export", "b.sqlite", "--out", "b.csv", "--status", "done")
    assert (code, out) == (0, "2 results written to b.csv\n")
    assert (tmp_path / "b.csv").read_text().count("\n") == 3


def test_screen_on_dask_finds_the_same(symcalc, structures, tmp_path):
    pytest.importorskip("distributed")
    code, out, err = symcalc("screen", structures, "--out", "a.sqlite", *QUICK, "--dask")
    assert code == 1, err
    assert "2 done, 1 failed" in out
    symcalc("screen", structures, "--out", "b.sqlite", *QUICK)
    energies = []
    for name in ("a", "b"):
        with Store(tmp_path / f"{name}.sqlite") as store:
            found = {each.key: each.results for each in store.outcomes("done")}
            energies.append({key: results["energy_eV"] for key, results in found.items()})
    assert energies[0] == pytest.approx(energies[1], abs=1e-8)


def test_second_screen_on_a_store_is_refused(symcalc, structures):
    with Store("a.sqlite", write=True):
        code, _, err = symcalc("screen", structures, "--out", "a.sqlite", *QUICK)
    assert code == 2
    assert "a.sqlite is being written by process" in err


def test_same_structures_are_left_out_on_request(symcalc, tmp_path):
    write(tmp_path / "in.extxyz", [bulk("Cu"), bulk("Cu", cubic=True), bulk("Cu") * (2, 1, 1)])
    code, out, err = symcalc("screen", "in.extxyz", "--out", "a.sqlite", *QUICK, "--unique")
    assert code == 0, err
    assert "1 done" in out
    assert "2 duplicate" in out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("nowhere", "--out", "s"), "nowhere does not exist"),
        (("in.extxyz", "--out", "in.extxyz"), "never overwritten"),
        (("in.extxyz", "--out", "s", "--potential", "nothing"), "nothing"),
        (("in.extxyz", "--out", "s", "--dask"), "ase-symcalc[dask]"),
        (("in.extxyz", "--out", "s", "--slurm", "nowhere.toml"), "nowhere.toml: No such file"),
        (("in.extxyz", "--out", "s", "--fmax", "0"), "fmax above 0"),
        (("in.extxyz", "--out", "no/s"), "No such file"),
        ((".", "--out", "s"), "in a folder that is read"),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_sentence(
    symcalc, structures, words, sentence, monkeypatch
):
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    code, _, err = symcalc("screen", *words)
    assert code == 2
    assert sentence in err


@pytest.mark.parametrize("option", [("--shard", "3/2"), ("--shard", "x"), ("--workers", "0")])
def test_options_without_meaning_are_refused(symcalc, structures, option):
    with pytest.raises(SystemExit):
        symcalc("screen", structures, "--out", "s", *option)


def test_stores_that_are_none_are_refused(symcalc, structures):
    assert symcalc("screen-status", "nowhere")[0] == 2
    assert "no store" in symcalc("screen-export", structures, "--out", "x.csv")[2]
    assert "among the stores" in symcalc("screen-merge", "a", "--out", "a")[2]


def test_stopped_screen_says_how_to_go_on(symcalc, structures, monkeypatch):
    def stopped(items, store, work, *, on_progress, **options):
        on_progress(Tally(read=5, statuses={"done": 4}))
        raise KeyboardInterrupt

    monkeypatch.setattr("ase_symcalc.screening.screen", stopped)
    code, _, err = symcalc("screen", structures, "--out", "s")
    assert code == 130
    assert "4 results of this run are in s" in err
    assert f"`symcalc screen {structures} --out s` does what is missing" in err
