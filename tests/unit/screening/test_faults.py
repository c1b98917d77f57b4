"""Screens whose workers, drivers, disks and files fail: nothing lost, nothing done twice."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from ase_symcalc.errors import InputError, StoreError
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


def test_arguments_without_meaning_are_refused(path, log):
    with Store(path, write=True) as store:
        for options in ({"shard": (3, 2)}, {"n_workers": 0}, {"timeout": 0.0}, {"chunk": 0}):
            with pytest.raises(InputError, match="expected"):
                run([], store, log, **options)
