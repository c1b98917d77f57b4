"""Screens whose workers, drivers, disks and files fail: nothing lost, nothing done twice."""

import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from ase_symcalc.errors import InputError, PotentialFileError, StoreError, WorkerError
from ase_symcalc.screening import Store
from tests.unit.screening.faults import item, run

ROOT = Path(__file__).parents[3]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store.sqlite"


@pytest.fixture
def log(tmp_path):
    return tmp_path / "log"


def begun(log):
    return Counter(log.read_text().split())


def test_structure_that_kills_its_worker_is_tried_twice_and_the_others_are_done(path, log):
    items = [item(0), item(1, "once"), item(2), item(3, "kill")]
    with Store(path, write=True) as store:
        tally = run(items, store, log, chunk=2)
        assert tally.statuses == {"done": 3, "failed": 1}
        assert tally.restarts == 3
        (failed,) = store.outcomes("failed")
        assert failed.label == "kill-3"
        assert "ended its worker" in failed.error
        assert "2 times" in failed.error
    assert begun(log)["kill-3"] == begun(log)["once-1"] == 2
    with Store(path, write=True) as store:  # not even the failure is tried again
        assert run(items, store, log).known == 4
    assert begun(log)["kill-3"] == 2


def test_worker_that_hangs_is_timed_out_and_the_structure_tried_elsewhere(path, log):
    items = [item(0), item(1, "hang"), item(2)]
    with Store(path, write=True) as store:
        # a worker starts within the timeout, however busy the machine
        tally = run([item(9)], store, log)
        started = tally.seconds
        tally = run(items, store, log, chunk=1, timeout=max(2, 2 * started))
        assert tally.statuses == {"done": 2, "failed": 1}
        (failed,) = store.outcomes("failed")
        assert "took longer than" in failed.error
        assert begun(log)["hang-1"] == 2


def test_driver_that_is_killed_loses_only_what_was_in_flight(path, log, tmp_path):
    driver = subprocess.Popen(
        [sys.executable, "-m", "tests.unit.screening.faults", str(tmp_path)], cwd=ROOT
    )
    deadline = time.monotonic() + 120
    finished = 0
    while finished < 6:
        assert time.monotonic() < deadline
        assert driver.poll() is None
        time.sleep(0.2)
        if path.exists():
            with Store(path) as store:
                finished = sum(store.counts().values())
    with pytest.raises(StoreError, match=f"written by process {driver.pid}"):
        Store(path, write=True)
    driver.kill()
    driver.wait()
    with Store(path, write=True) as store:
        kept = {each.label: each.results["pid"] for each in store.outcomes()}
        assert len(kept) >= finished
        (worker,) = set(kept.values())
        _wait_for_the_end_of(worker)
        before = begun(log)
        assert len(before) <= len(kept) + 2  # a task of two was in flight
        items = [item(k, "slow") for k in range(len(kept) + 4)]
        random.Random(1).shuffle(items)
        tally = run(items, store, log)
        assert tally.known == len(kept)
        assert tally.statuses == {"done": 4}
    again = begun(log)
    assert all(again[label] == 1 for label in kept)


def _wait_for_the_end_of(pid):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
            if "Z" in Path(f"/proc/{pid}/stat").read_text().split(")")[1][:3]:
                return
        except OSError:
            return
        time.sleep(0.1)
    os.kill(pid, signal.SIGKILL)
    pytest.fail("the worker outlived its driver")


def outcomes(n, first=0):
    from ase_symcalc.screening.work import Work, outcome

    work = Work()
    every = [item(k) for k in range(first, first + n)]
    return [outcome(work.key(each), each, work, "done", results={"x": 1}) for each in every]


def test_two_writers_at_once_are_refused(path):
    with Store(path, write=True), pytest.raises(StoreError, match=r"being written.*screen-merge"):
        Store(path, write=True)
    Store(path, write=True).close()


@pytest.mark.parametrize("size", [0, 50, 5000, -1])
def test_store_cut_short_is_refused(path, size):
    with Store(path, write=True) as store:
        store.put(outcomes(50))
    content = path.read_bytes()
    path.write_bytes(content[:size])
    with pytest.raises(StoreError, match="cut short"):
        Store(path, write=True)
    path.write_bytes(content)
    with Store(path, write=True) as store:  # nobody holds the lock of one that was refused
        assert sum(store.counts().values()) == 50


def test_store_that_is_something_else_is_refused(path):
    path.write_text("no database, but long enough to be one" * 10)
    with pytest.raises(StoreError, match="no store"):
        Store(path)
    path.unlink()
    with pytest.raises(StoreError, match="there is no store"):
        Store(path)


def test_damaged_pages_are_found(path):
    with Store(path, write=True) as store:
        store.put(outcomes(50))
    content = bytearray(path.read_bytes())
    content[8192:12288] = os.urandom(4096)
    path.write_bytes(content)
    with pytest.raises(StoreError, match="damaged"):
        Store(path)


def test_full_disk_is_a_sentence_and_nothing_is_lost(path):
    with Store(path, write=True) as store:
        store.put(outcomes(5))
        (pages,) = store._db.execute("pragma page_count").fetchone()
        store._db.execute(f"pragma max_page_count = {pages}")
        with pytest.raises(StoreError, match=r"full.*make room"):
            store.put(outcomes(500, first=5))
        assert sum(store.counts().values()) == 5
    with Store(path, write=True) as store:
        store.put(outcomes(500, first=5))
        assert sum(store.counts().values()) == 505


def test_disk_that_fails_is_a_sentence_and_nothing_is_lost(path):
    """A quota that is used up is this error; so is, in its place, the limit of a process."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Store(path, write=True) as store:
        store.put(outcomes(5))
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 4096, before[1]))
            with pytest.raises(StoreError, match=r"quota.*is safe"):
                store.put(outcomes(500, first=5))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert sum(store.counts().values()) == 5
        store.put(outcomes(500, first=5))
        assert sum(store.counts().values()) == 505


def test_commit_that_a_kill_cut_is_undone_and_not_called_cut_short(path):
    with Store(path, write=True) as store:
        store.put(outcomes(5))
    whole = path.read_bytes()
    database = sqlite3.connect(path)
    database.execute("pragma cache_size = 1")
    database.execute("begin immediate")
    database.execute("pragma user_version = 1")  # the first page belongs to it
    database.executemany(
        "insert into settings values (?, ?)", [(str(k), "x" * 3000) for k in range(100)]
    )
    journal = path.with_name(path.name + "-journal")
    undo = journal.read_bytes()
    database.rollback()
    database.close()
    # the first page with the new length is written, those behind it are not
    path.write_bytes(whole[:28] + (500).to_bytes(4, "big") + whole[32:])
    journal.write_bytes(undo)
    with Store(path, write=True) as store:
        assert sum(store.counts().values()) == 5
    assert path.read_bytes() == whole
    assert not journal.exists()


def test_row_that_is_damaged_is_a_sentence(path):
    with Store(path, write=True) as store:
        store.put(outcomes(2))
        for text in ("[" * 200_000, "{}", "[1]", "nonsense"):
            with store._db:
                store._db.execute("update results set structure = ?", [text])
            with pytest.raises(StoreError, match=r"the result .* is damaged"):
                list(store.outcomes())


def test_system_without_locks_is_refused(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with pytest.raises(StoreError, match="use WSL on Windows"):
        Store(path, write=True)
    assert not path.exists()


class Broken(ThreadPoolExecutor):
    """Fails every task in the same way."""

    def __init__(self, error):
        super().__init__(1)
        self.error = error

    def submit(self, function, /, *arguments):
        future = Future()
        future.set_exception(self.error)
        return future


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PotentialFileError("not those that the screen began with"), "not those that"),
        (ModuleNotFoundError("No module named 'ase_symcalc'"), "need ase_symcalc"),
        (RuntimeError("out of memory"), r"none has finished a task.*out of memory"),
    ],
)
def test_workers_that_cannot_work_stop_the_screen_and_blame_no_structure(path, log, error, words):
    with Store(path, write=True) as store:
        with pytest.raises(WorkerError, match=words):
            run(map(item, range(100)), store, log, executor=Broken(error), chunk=1)
        assert store.counts() == {}


def test_task_on_an_executor_that_hangs_is_given_up_and_this_process_goes_on(path, log):
    items = [item(0), item(1, "nap"), item(2)]
    with Store(path, write=True) as store, ThreadPoolExecutor(2) as executor:
        tally = run(items, store, log, executor=executor, n_workers=2, chunk=1, timeout=0.5)
        assert tally.statuses == {"done": 2, "failed": 1}
        (failed,) = store.outcomes("failed")
        assert "took longer than 0.5 s, 2 times" in failed.error
    assert begun(log)["nap-1"] == 2


def test_arguments_without_meaning_are_refused(path, log):
    with Store(path, write=True) as store:
        for options in ({"shard": (3, 2)}, {"n_workers": 0}, {"timeout": 0.0}, {"chunk": 0}):
            with pytest.raises(InputError, match="expected"):
                run([], store, log, **options)
