"""Screens without faults: what is done, in which order, and what is written down."""

import csv
import os
import sqlite3
import sys
from concurrent.futures import Executor, Future
from contextlib import ExitStack
from dataclasses import replace

import ase.db
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.constraints import FixAtoms, FixBondLength
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
    sources,
)
from ase_symcalc.screening.work import outcome


class Inline(Executor):
    """Does what it is given at once, in this process."""

    def __init__(self):
        self.tasks = []

    def submit(self, function, /, *arguments, **named):
        self.tasks.append(arguments[-1])
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


def test_better_results_survive_a_merge(tmp_path, crystals):
    work = Work()
    item = Item("copper", crystals[0])

    def result(status, label):
        return outcome(work.key(item), replace(item, label=label), work, status)

    with Store(tmp_path / "a", write=True) as a, Store(tmp_path / "b", write=True) as b:
        for mine, theirs, kept in (
            ("done", "failed", "a"),
            ("not_converged", "failed", "a"),
            ("failed", "not_converged", "b"),
            ("duplicate", "done", "b"),
        ):
            a.put([result(mine, "a")])
            b.put([result(theirs, "b")])
            a.merge(b)
            (survivor,) = a.outcomes()
            assert survivor.label == kept


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


def test_errors_of_forces_are_found_where_the_potential_knows_them(tmp_path, potential_folder):
    item = Item("copper", bulk("Cu", cubic=True))
    item.atoms.rattle(0.1, seed=1)
    with Store(tmp_path / "store", write=True) as store:
        tally = screen([item], store, Work("uncertainty"), executor=Inline())
        assert tally.statuses == {"done": 1}
        (found,) = store.outcomes()
        known = found.results
        mean = known["mean_force_error_eV_per_angstrom"]
        assert 0 < mean <= known["largest_force_error_eV_per_angstrom"]
        assert known["energy_eV"] == found.atoms.get_potential_energy()
        assert np.array_equal(found.atoms.positions, item.atoms.positions)
    with Store(tmp_path / "other", write=True) as store:
        silicon = Item("silicon", bulk("Si"))
        work = Work("uncertainty", potential=str(potential_folder))
        assert screen([silicon], store, work, executor=Inline()).statuses == {"failed": 1}
        (failed,) = store.outcomes()
        assert "symcalc calibrate" in failed.error


def test_same_structures_are_done_once_however_they_are_written(tmp_path, crystals):
    nickel = crystals[1] * (2, 1, 1)
    nickel.rattle(0.1, seed=5)
    turned = nickel * (1, 2, 1)
    turned.rotate(40, (1, 2, 3), rotate_cell=True)
    turned = turned[np.random.default_rng(1).permutation(len(turned))]
    turned.positions += 0.7
    other = nickel.copy()
    other.positions[0] += 0.05
    items = [
        Item("nickel", nickel),
        Item("silicon", crystals[2]),
        Item("turned", turned),
        Item("other", other),
        Item("no atoms", Atoms()),
        Item("unread", None, "cannot be read"),
        Item("again", turned),
    ]
    work = Work(max_steps=0, unique=1e-3)
    with Store(tmp_path / "store", write=True) as store:
        tally = screen(items, store, work, executor=Inline(), chunk=2)
        assert tally.statuses == {"not_converged": 3, "duplicate": 1, "failed": 2}
        assert tally.known == 1
        (same,) = store.outcomes("duplicate")
        assert same.label == "turned"
        assert same.error == "the same structure as nickel"
        assert same.results == {"same_as": work_key(store, "nickel")}
        assert screen(items, store, work, executor=Inline()).known == 7
        # those of another run are found too, and other settings are other work
        more = [Item("late", nickel * (1, 1, 2))]
        assert screen(more, store, work, executor=Inline()).statuses == {"duplicate": 1}
        assert screen(more, store, Work(max_steps=0), executor=Inline()).done == 1
    with pytest.raises(InputError, match="0 or more"):
        Work(unique=-1.0)


def work_key(store, label):
    return next(each.key for each in store.outcomes() if each.label == label)


def test_structure_whose_likeness_was_lost_in_flight_is_not_left_out(tmp_path, crystals):
    work = Work(max_steps=0, unique=1e-3)

    class Killed(Executor):
        def submit(self, function, /, *arguments):
            raise KeyboardInterrupt

    with Store(tmp_path / "store", write=True) as store:
        with pytest.raises(KeyboardInterrupt):
            screen([Item("first", crystals[0])], store, work, executor=Killed())
        store.put([])
        double = crystals[0] * (2, 1, 1)
        items = [Item("second", double), Item("first", crystals[0])]
        tally = screen(items, store, work, executor=Inline(), chunk=1)
        assert tally.statuses == {"not_converged": 1, "duplicate": 1}
        (same,) = store.outcomes("duplicate")
        assert same.label == "first"


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
    with pytest.raises(InputError, match="fmax above 0"):
        Work(fmax=-1.0)


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


def test_frame_that_is_broken_stops_no_others(tmp_path, crystals):
    path = tmp_path / "some.extxyz"
    write(path, crystals)
    lines = path.read_text().splitlines(keepends=True)
    assert lines[0].strip() == "1"
    lines[2] = "Cu not a number\n"
    path.write_text("".join(lines))
    found = list(read_items([path]))
    assert [item.atoms is None for item in found] == [True] + 4 * [False]
    assert "from image 0" in found[0].error
    assert expected_count([path]) == 5
    path.write_text("".join(lines) + "Lattice\n")
    assert [item.label[-2:] for item in read_items([path])] == [":0", ":1", ":2", ":3", ":4", ":5"]
    path.write_text("".join(lines[:-1]))  # cut short
    assert [item.atoms is None for item in read_items([path])] == [True, *3 * [False], True]


def test_large_files_are_read_a_little_at_a_time(tmp_path, monkeypatch, crystals):
    monkeypatch.setattr(sources, "PAGE", 2)
    monkeypatch.setattr(sources, "LONGEST_COUNT", 100)
    with ase.db.connect(tmp_path / "some.db") as database:
        for atoms in crystals:
            database.write(atoms)
        database.delete([2])
    ends = [item.label.rpartition(":")[2] for item in read_items([tmp_path / "some.db"])]
    assert ends == ["1", "3", "4", "5"]
    path = tmp_path / "some.extxyz"
    write(path, crystals)
    with path.open("a") as file:
        file.write("7\n" + 100_000 * "Cu 0 0 0\n")
    items = read_items([path])
    assert [next(items).atoms is None for _ in range(5)] == 5 * [False]  # the end was not read
    assert expected_count([path]) is None


def test_list_that_is_none_is_refused(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("file\n" + 200_000 * "x")
    with pytest.raises(InputError, match="no list of files"):
        list(read_items([path]))


def test_names_that_are_no_text_are_spelled_out(tmp_path, crystals):
    folder = tmp_path / "folder"
    folder.mkdir()
    write(folder / "a.cif", crystals[0])
    try:
        os.rename(bytes(folder / "a.cif"), bytes(folder) + b"/\xff.cif")
    except OSError:
        pytest.skip("the file system knows only UTF-8")
    with Store(tmp_path / "store", write=True) as store:
        tally = screen(read_items([folder]), store, Work(max_steps=0), executor=Inline())
        assert tally.done == 1
        (found,) = store.outcomes()
        assert "\\udcff.cif" in found.label


def test_constraints_have_a_part_in_the_key_and_their_address_has_none():
    class Own:
        def adjust_positions(self, atoms, positions):
            pass

    work = Work()
    keys = []
    for constraint in ([], [FixAtoms([0])], [FixBondLength(0, 1)], [Own()], [Own()]):
        atoms = bulk("Cu", cubic=True)
        atoms.constraints = constraint
        keys.append(work.key(Item("copper", atoms)))
    assert len(set(keys)) == 4
    assert keys[3] == keys[4]


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


def test_parquet_holds_what_the_store_holds(tmp_path, items, monkeypatch):
    read_table = pytest.importorskip("pyarrow.parquet").read_table
    monkeypatch.setattr(sys.modules[export.__module__], "ROWS", 2)
    with Store(tmp_path / "store", write=True) as store:
        screen(items, store, Work(max_steps=0), executor=Inline())
        screen(items[:1], store, Work("eos"), executor=Inline())
        n = sum(store.counts().values())
        assert export(store, tmp_path / "all.parquet") == n
        rows = read_table(tmp_path / "all.parquet").to_pylist()
        known = list(store.outcomes())
        assert [row["key"] for row in rows] == [each.key for each in known]
        for row, each in zip(rows, known, strict=True):
            assert row["error"] == each.error
            assert row["energy_eV"] == each.results.get("energy_eV")
            assert row["steps"] == each.results.get("steps")
            assert row["fit"] == each.results.get("fit")
            assert row["n_atoms"] == (None if each.atoms is None else len(each.atoms))
        assert export(store, tmp_path / "none.parquet", status="invalid") == 0
        assert read_table(tmp_path / "none.parquet").num_rows == 0


def test_parquet_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with Store(tmp_path / "store", write=True) as store:
        with pytest.raises(InputError, match=r"\[parquet\]"):
            export(store, tmp_path / "all.parquet")
        assert list(tmp_path.glob("*parquet")) == []


def test_store_of_a_later_format_is_refused(tmp_path):
    path = tmp_path / "store"
    Store(path, write=True).close()
    with sqlite3.connect(path) as database:
        database.execute("update meta set value = '99' where name = 'format'")
    database.close()
    with pytest.raises(Exception, match="format 99"):
        Store(path)
