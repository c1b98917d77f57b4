"""Screens on Dask: a cluster of this machine, somebody's scheduler, jobs of SLURM."""

import logging
import os
import signal
from collections import Counter
from contextlib import contextmanager

import pytest

from ase_symcalc.errors import InputError, WorkerError
from ase_symcalc.screening import Store, clusters
from tests.unit.screening.faults import item, run

pytest.importorskip("distributed")
pytestmark = [
    # Dask's own, of processes that end
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store.sqlite"


@pytest.fixture
def log(tmp_path):
    return tmp_path / "log"


@contextmanager
def cluster(n_workers):
    """Somebody's."""
    from distributed import LocalCluster

    options = {"threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": None}
    with LocalCluster(n_workers=n_workers, silence_logs=logging.CRITICAL, **options) as cluster:
        yield cluster


def begun(log):
    return Counter(log.read_text().split())


def test_structures_that_kill_and_hang_are_given_up_and_the_others_done(path, log, monkeypatch):
    monkeypatch.setattr(clusters, "PARDONED", 0)
    items = [item(0), item(1, "kill"), item(2, "hang"), item(3)]
    with Store(path, write=True) as store, clusters.local(2) as (executor, n_tasks):
        options = {"executor": executor, "n_workers": n_tasks, "timeout": 2.0}
        tally = run(items, store, log, chunk=1, **options)
        assert {each.label for each in store.outcomes("failed")} >= {"kill-1", "hang-2"}
        assert tally.statuses["done"] >= 1  # one may have been beside them on both tries
        errors = {each.label: each.error for each in store.outcomes("failed")}
        assert "KilledWorker" in errors["kill-1"]
        assert "2 times" in errors["hang-2"]
        assert run(items, store, log, **options).known == 4
    assert max(begun(log).values()) == 2


def test_worker_of_a_scheduler_is_killed_and_nothing_is_lost(path, log):
    killed = []

    def kill(tally):
        if tally.done >= 5 and not killed:
            with Store(path) as store:
                killed.append(next(store.outcomes()).results["pid"])
            os.kill(killed[0], signal.SIGKILL)

    items = [item(k, "slow") for k in range(40)]
    with (
        cluster(2) as theirs,
        Store(path, write=True) as store,
        clusters.at(theirs.scheduler_address) as (executor, n_tasks),
    ):
        assert n_tasks == 4
        options = {"executor": executor, "n_workers": n_tasks, "on_progress": kill}
        tally = run(items, store, log, chunk=2, **options)
        assert killed
        assert tally.statuses == {"done": 40}
        assert len({each.results["pid"] for each in store.outcomes()}) >= 2
    assert sum(begun(log).values()) <= 42  # a task of two may have been begun again


def test_screen_whose_scheduler_ends_stops_and_is_resumed(path, log):
    items = [item(k, "slow") for k in range(30)]
    with Store(path, write=True) as store:
        with cluster(1) as theirs, clusters.at(theirs.scheduler_address) as (executor, n_tasks):

            def end(tally):
                if tally.done >= 4:
                    theirs.close()

            options = {"executor": executor, "n_workers": n_tasks, "on_progress": end}
            with pytest.raises(WorkerError, match=r"scheduler.*are safe"):
                run(items, store, log, chunk=1, **options)
        ((_, status), known), *others = store.counts().items()
        assert (status, others) == ("done", [])
        assert known >= 4
        tally = run(items, store, log, chunk=4)
        assert tally.known == known
        assert tally.statuses == {"done": 30 - known}


def test_scheduler_that_is_not_there_or_has_no_workers_is_refused(monkeypatch):
    monkeypatch.setattr(clusters, "ANSWER", 1)
    nobody = clusters.at("tcp://127.0.0.1:9")
    with pytest.raises(InputError, match="no Dask scheduler answered"), nobody:
        pass
    with cluster(0) as theirs:
        idle = clusters.at(theirs.scheduler_address)
        with pytest.raises(InputError, match="has no workers"), idle:
            pass


def test_jobs_of_slurm_say_what_was_asked_for(tmp_path):
    pytest.importorskip("dask_jobqueue")
    file = tmp_path / "jobs.toml"
    file.write_text(
        'jobs = 3\ncores = 4\nmemory = "8GB"\nwalltime = "02:00:00"\nqueue = "short"\n'
        'account = "mine"\ninterface = "lo"\nhost = "127.0.0.1"\n'
        'directives = ["--exclusive"]\nprologue = ["module load python"]\n'
    )
    jobs = clusters.read_slurm_jobs(file)
    assert jobs.jobs == 3
    with clusters.slurm_cluster(jobs) as slurm:
        script = slurm.job_script().splitlines()
    for line in ("-p short", "-A mine", "-t 02:00:00", "--cpus-per-task=4", "--exclusive"):
        assert f"#SBATCH {line}" in script
    assert script.index("module load python") < len(script) - 1
    for words in ("--nthreads 1", "--nworkers 4", "--lifetime 6480s --lifetime-stagger 360s"):
        assert words in script[-1]
    assert "127.0.0.1" in script[-1]


@pytest.mark.parametrize(
    ("walltime", "seconds"),
    [("90", 5400), ("10:30", 630), ("1:00:00", 3600), ("2-0", 172800), ("1-01:30", 91800)],
)
def test_walltimes_are_those_of_slurm(walltime, seconds):
    assert clusters._seconds(walltime) == seconds


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("jobs = 1\ncores = 1", "memory"),
        ("jobs = 1\ncores = 1\nmemory = 4", "text"),
        ("jobs = 0\ncores = 1\nmemory = '1GB'", "at least one job"),
        ("jobs = 1\ncores = 1\nmemory = '1GB'\nwalltime = 'long'", "walltime"),
        ("jobs = 1\ncores = 1\nmemory = '1GB'\npartition = 'x'", "partition"),
        ("jobs", "no TOML"),
    ],
)
def test_jobs_without_meaning_are_refused(tmp_path, text, words):
    file = tmp_path / "jobs.toml"
    file.write_text(text)
    with pytest.raises(InputError, match=words):
        clusters.read_slurm_jobs(file)
