"""Screens without faults: what is done, in which order, and what is written down."""

import csv
import sqlite3
from concurrent.futures import Executor, Future
from contextlib import ExitStack

import ase.db
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.constraints import FixAtoms
from ase.io import read, write

from ase_symcalc.apps import relax_many
from ase_symcalc.errors import InputError
from ase_symcalc.screening import (
    Bounds,
    Item,
    Store,
    Work,
    expected_count,
    export,
    invalid,
    read_items,
    screen,
)


class Inline(Executor):
    """Does what it is given at once, in this process."""

    def __init__(self):
        self.tasks = []

    def submit(self, function, /, *arguments, **named):
        self.tasks.append(arguments[1])
        future = Future()
        future.set_result(function(*arguments, **named))
        return future


@pytest.fixture(scope="module")
def crystals():
    structures = []
    for seed, symbol in enumerate(("Cu", "Ni", "Si", "Cu", "Mo")):
        atoms = bulk(symbol)
        atoms.set_cell(atoms.cell.array * 1.01, scale_atoms=True)
        atoms.rattle(0.05, seed=seed)
        structures.append(atoms)
    structures[3] = structures[0].copy()
    return structures


@pytest.fixture
def items(crystals):
    failing = Item("gold", bulk("Au"))
    unread = Item("broken", None, "cannot be read")
    sound = [Item(str(k), atoms.copy()) for k, atoms in enumerate(crystals)]
    return [*sound[:2], failing, *sound[2:], unread]


def test_relaxations_are_those_of_relax_many_and_failures_are_recorded(tmp_path, items, crystals):
    tallies = []
    with Store(tmp_path / "store", write=True) as store:
        executor = Inline()
        tally = screen(
            items,
            store,
            executor=executor,
            chunk=4,
            on_progress=lambda tally: tallies.append(tally.done),
        )
        assert tally.read == 7
        assert tally.known == 1
        assert tally.statuses == {"done": 4, "failed": 2}
        assert [len(task) for task in executor.tasks] == [4, 2]
        assert tallies[-1] == 6
        found = {each.label: each for each in store.outcomes()}
        for label, result in zip("012", relax_many(crystals[:3]), strict=True):
            assert found[label].results["energy_eV"] == pytest.approx(result.energy, abs=1e-7)
            assert found[label].atoms.get_potential_energy() == found[label].results["energy_eV"]
            assert np.allclose(found[label].atoms.positions, result.atoms.positions, atol=1e-6)
        assert "Au" in found["gold"].error
        assert found["broken"].error == "cannot be read"
        assert found["broken"].atoms is None


def test_only_what_is_missing_is_done_in_any_order(tmp_path, items):
    work = Work(fmax=0.05)
    with Store(tmp_path / "a", write=True) as store:
        first = screen(items[:3], store, work, executor=Inline())
        executor = Inline()
        second = screen(reversed(items), store, work, executor=executor, chunk=2)
        assert first.done == 3
        assert second.known == 4  # copper twice
        assert sorted(item.label for task in executor.tasks for _, item in task) == [
            "2",
            "4",
            "broken",
        ]
        one = {each.key: each for each in store.outcomes()}
    with Store(tmp_path / "b", write=True) as store:
        screen(items, store, work, executor=Inline(), chunk=1)
        other = {each.key: each for each in store.outcomes()}
        assert one.keys() == other.keys()
        for key, each in one.items():
            assert each.status == other[key].status
            if each.status == "done":
                energy = other[key].results["energy_eV"]
                assert each.results["energy_eV"] == pytest.approx(energy, abs=1e-7)
        # other settings are other results; a failure is tried again if asked for
        assert screen(items[:1], store, Work(fmax=0.04), executor=Inline()).done == 1
        again = screen(items, store, work, executor=Inline(), retry_failed=True)
        assert again.statuses == {"failed": 2}
        assert len(store.settings()) == 2


def test_shards_are_parts_and_merge_to_the_whole(tmp_path, items):
    with ExitStack() as files:
        _merge_shards(tmp_path, items, files)


def _merge_shards(tmp_path, items, files):
    stores = []
    for k in (1, 2, 3):
        stores.append(files.enter_context(Store(tmp_path / f"{k}", write=True)))
        tally = screen(
            items, stores[-1], Work(max_steps=0), executor=Inline(), shard=(k, 3), chunk=1
        )
        assert tally.done + tally.elsewhere + tally.known == 7
    parts = [{each.key for each in store.outcomes()} for store in stores]
    assert sum(map(len, parts)) == 6
    with Store(tmp_path / "whole", write=True) as whole:
        assert sum(whole.merge(store) for store in stores) == 6
        assert {each.key for each in whole.outcomes()} == set().union(*parts)
        assert whole.settings() == stores[0].settings()
        assert sum(whole.merge(store) for store in stores) == 6  # nothing twice
        assert sum(whole.counts().values()) == 6


@pytest.mark.parametrize(
    ("kind", "name"),
    [("eos", "bulk_modulus_GPa"), ("elastic", "shear_modulus_GPa"), ("phonons", "gamma_THz")],
)
def test_properties_of_crystals(tmp_path, kind, name):
    structures = [Item("copper", bulk("Cu")), Item("slab", Atoms("Cu", cell=[3, 3, 0], pbc=True))]
    with Store(tmp_path / "store", write=True) as store:
        tally = screen(structures, store, Work(kind), executor=Inline())
        assert tally.statuses == {"done": 1, "failed": 1}
        good, bad = store.outcomes()
        assert name in good.results
        assert good.atoms.get_potential_energy() < 0
        assert bad.error
        if kind != "phonons":
            assert 100 < good.results["bulk_modulus_GPa"] < 180


def test_structures_that_cannot_be_one_are_left_out(tmp_path):
    close = bulk("Cu", a=3.6, cubic=True)
    close.positions[1] = close.positions[0] + 0.5
    assert invalid(bulk("Cu")) is None
    assert "0.866 Å apart" in invalid(close)
    assert "400 Å³ per atom" in invalid(Atoms("Cu", cell=[20, 20, 1], pbc=True))
    assert "no atoms" in invalid(Atoms())
    assert invalid(close, Bounds(closest=0.1)) is None
    with pytest.raises(InputError, match="expected a positive share"):
        Bounds(closest=-1.0)
    with Store(tmp_path / "store", write=True) as store:
        items = [Item("close", close), Item("good", bulk("Cu"))]
        tally = screen(items, store, Work(bounds=Bounds(), max_steps=1), executor=Inline())
        assert tally.statuses["invalid"] == 1
        (bad,) = store.outcomes("invalid")
        assert bad.label == "close"


def test_settings_without_meaning_are_refused():
    with pytest.raises(InputError, match=r"choose one of relax, eos"):
        Work("boil")


def test_inputs_are_read_lazily_in_order(tmp_path, crystals):
    folder = tmp_path / "folder"
    folder.mkdir()
    write(folder / "b.extxyz", crystals[:2])
    write(folder / "a.cif", crystals[2])
    (folder / "c.cif").write_text("nonsense")
    (folder / ".hidden").write_text("nothing")
    with ase.db.connect(tmp_path / "some.db") as database:
        for atoms in crystals:
            database.write(atoms)
    (tmp_path / "list.csv").write_text("name,file\none,folder/a.cif\ntwo,folder/missing.cif\n")
    (tmp_path / "plain.csv").write_text("folder/a.cif\n")
    found = list(read_items([folder]))
    names = [item.label.removeprefix(str(folder)) for item in found]
    assert names == ["/a.cif:0", "/b.extxyz:0", "/b.extxyz:1", "/c.cif:0"]
    assert "could not read" in found[3].error
    assert np.allclose(found[1].atoms.positions, crystals[0].positions)
    listed = list(read_items([tmp_path / "list.csv", tmp_path / "plain.csv", tmp_path / "some.db"]))
    assert len(listed) == 3 + 5
    assert listed[1].atoms is None
    assert listed[7].atoms == crystals[4]
    assert expected_count([folder, tmp_path / "some.db"]) == 9
    write(tmp_path / "some.traj", crystals)
    assert expected_count([tmp_path / "some.traj"]) is None
    with pytest.raises(InputError, match="does not exist"):
        read_items([folder, tmp_path / "nowhere"])
    endless = iter(read_items([folder]))
    assert next(endless).label.endswith("a.cif:0")


def test_few_structures_are_read_ahead(tmp_path, crystals):
    taken = []

    class Slow(Executor):
        def submit(self, function, /, *arguments):
            if len(taken) > 3:
                raise KeyboardInterrupt
            return Future()

    def source():
        for k in range(1000):
            taken.append(k)
            atoms = crystals[0].copy()
            atoms.positions += 0.001 * k
            yield Item(str(k), atoms)

    with Store(tmp_path / "store", write=True) as store:
        with pytest.raises(KeyboardInterrupt):
            screen(source(), store, executor=Slow(), n_workers=3, chunk=2)
        assert len(taken) < 10
        assert store.counts() == {}


def test_exports_hold_what_the_store_holds(tmp_path, items):
    items[0].atoms.set_constraint(FixAtoms([0]))
    with Store(tmp_path / "store", write=True) as store:
        screen(items, store, Work(max_steps=2), executor=Inline())
        n = sum(store.counts().values())
        assert export(store, tmp_path / "all.csv") == n
        with (tmp_path / "all.csv").open(newline="") as lines:
            rows = {row["label"]: row for row in csv.DictReader(lines)}
        assert len(rows) == n
        known = {each.label: each for each in store.outcomes()}
        assert float(rows["1"]["energy_eV"]) == known["1"].results["energy_eV"]
        assert rows["1"]["formula"] == "Ni"
        assert "Au" in rows["gold"]["error"]
        assert export(store, tmp_path / "all.extxyz") == n - 1
        images = read(tmp_path / "all.extxyz", ":")
        by_label = {str(image.info["label"]): image for image in images}
        energy = known["2"].results["energy_eV"]
        assert by_label["2"].get_potential_energy() == pytest.approx(energy)
        assert np.allclose(by_label["2"].positions, known["2"].atoms.positions)
        assert len(by_label["2"].get_forces()) == 2
        assert export(store, tmp_path / "all.db") == n - 1
        database = ase.db.connect(tmp_path / "all.db")
        assert database.get(status="failed").data["label"] == "gold"
        assert [len(each.atoms.constraints) for each in store.outcomes() if each.label == "0"] == [
            1
        ]
        only = export(store, tmp_path / "failed.csv", status="failed")
        assert only == 2
        for name, words in (("all.csv", "not overwritten"), ("all.pdf", "ending in one of")):
            with pytest.raises(InputError, match=words):
                export(store, tmp_path / name)


def test_parquet_or_what_to_install(tmp_path, items):
    with Store(tmp_path / "store", write=True) as store:
        screen(items[:1], store, Work(max_steps=0), executor=Inline())
        try:
            from pyarrow.parquet import read_table
        except ImportError:
            with pytest.raises(InputError, match=r"\[parquet\]"):
                export(store, tmp_path / "all.parquet")
            assert list(tmp_path.glob("*parquet")) == []
        else:
            export(store, tmp_path / "all.parquet")
            assert read_table(tmp_path / "all.parquet").to_pylist()[0]["formula"] == "Cu"


def test_store_of_a_later_format_is_refused(tmp_path):
    path = tmp_path / "store"
    Store(path, write=True).close()
    with sqlite3.connect(path) as database:
        database.execute("update meta set value = '99' where name = 'format'")
    database.close()
    with pytest.raises(Exception, match="format 99"):
        Store(path)
