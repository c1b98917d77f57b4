r"""Executors of Dask for `screen`: on this machine, of a scheduler that runs, or jobs of SLURM.

`slurm` was tried on SLURM 22.05 with dask-jobqueue 0.9 on one machine, as root and without systemd.
In an empty folder F, with ``dd if=/dev/urandom of=F/munge.key bs=1024 count=1``, ``chmod 400
F/munge.key``, empty folders F/state, F/spool, F/run, and F/slurm.conf of::

    ClusterName=one
    SlurmctldHost=<host>(127.0.0.1)
    SlurmUser=root
    SlurmdUser=root
    AuthType=auth/munge
    AuthInfo=socket=F/run/munge.socket
    CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
    ProctrackType=proctrack/linuxproc
    TaskPlugin=task/none
    JobAcctGatherType=jobacct_gather/none
    AccountingStorageType=accounting_storage/none
    SwitchType=switch/none
    SelectType=select/cons_tres
    SelectTypeParameters=CR_Core_Memory
    StateSaveLocation=F/state
    SlurmdSpoolDir=F/spool
    SlurmctldPidFile=F/run/slurmctld.pid
    SlurmdPidFile=F/run/slurmd.pid
    ReturnToService=2
    NodeName=<host> NodeAddr=127.0.0.1 CPUs=2 RealMemory=8000 State=UNKNOWN
    PartitionName=debug Nodes=<host> Default=YES MaxTime=INFINITE State=UP

start::

    munged --force -S F/run/munge.socket --key-file=F/munge.key --pid-file=F/run/munged.pid \
        --log-file=F/munged.log --seed-file=F/seed
    export SLURM_CONF=F/slurm.conf
    slurmctld -D -c & slurmd -D &
    symcalc screen in.extxyz --out s.sqlite --slurm jobs.toml

with a jobs.toml of ``jobs = 2``, ``cores = 1``, ``memory = "2500MB"``, ``queue = "debug"``,
``interface = "lo"`` and ``host = "127.0.0.1"``. A job that runs and is cancelled by ``scancel`` is
replaced within seconds, and its structures are done elsewhere; one that is cancelled while it waits
is not replaced by dask-jobqueue, and the others do its work. When the screen is killed
by ``kill -9``, the jobs end by themselves within a minute, and the same command does the rest.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ase_symcalc.errors import InputError
from ase_symcalc.potential_files.tables import from_table, read_toml

AHEAD = 2
"""Tasks for each thread of workers that are far away, so that none waits for the next one."""

PARDONED = 1
"""Workers that may die with a task on this machine before Dask gives it up; its default is 3."""

ANSWER = 30  # seconds in which a scheduler must answer

LOOPBACK = "127.0.0.1"

MISSING = "--dask, --scheduler and --slurm need Dask: python -m pip install 'ase-symcalc[dask]'"


class Places(NamedTuple):
    """An executor, and how many tasks it should have in its hands."""

    executor: Any
    n_tasks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmJobs:
    """Jobs that SLURM runs; each is a Dask worker process for each of its cores.

    The workers must see this Python environment and the potential under the same path, and
    reach the machine on which the screen runs.
    """

    jobs: int
    """Running at a time; one that ends is replaced."""
    cores: int
    """Of each job"""
    memory: str
    """Of each job, as ``"8GB"``"""
    walltime: str = "01:00:00"
    """Of each job, as SLURM writes it"""
    queue: str | None = None
    """The partition"""
    account: str | None = None
    interface: str | None = None
    """Network interface of the nodes, as ``"ib0"``"""
    directives: tuple[str, ...] = ()
    """More lines for ``#SBATCH``, as ``"--exclusive"``"""
    prologue: tuple[str, ...] = ()
    """Lines of the job's script before the worker starts, as ``"module load python"``"""
    host: str | None = None
    """Address of the machine on which the screen runs, as the nodes reach it"""

    def __post_init__(self) -> None:
        if self.jobs < 1 or self.cores < 1:
            raise InputError(
                f"expected at least one job and one core, got {self.jobs} and {self.cores}"
            )
        _seconds(self.walltime)


def read_slurm_jobs(path: Path) -> SlurmJobs:
    """Read the jobs from a TOML file whose keys are the fields of `SlurmJobs`.

    Raises
    ------
    InputError
        If it is no TOML, or a key is unknown, missing or of another type.
    OSError
        If it cannot be read.
    """
    try:
        table = read_toml(path.read_bytes())
    except ValueError as error:  # TOMLDecodeError, or UnicodeDecodeError
        raise InputError(f"{path} is no TOML file ({error})") from error
    try:
        return from_table(SlurmJobs, table)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


@contextmanager
def local(n_workers: int) -> Iterator[Places]:
    """Workers on this machine, listening on the loopback interface only.

    A task is given up by Dask when two workers died with it: with the first it may have waited
    behind another one that was to blame.
    """
    with ExitStack() as everything:
        config, distributed = _dask()
        everything.enter_context(config.set({"distributed.scheduler.allowed-failures": PARDONED}))
        cluster = everything.enter_context(
            distributed.LocalCluster(
                n_workers=n_workers,
                threads_per_worker=1,
                host=LOOPBACK,
                dashboard_address=None,
                silence_logs=logging.CRITICAL,  # the tally says how many workers are lost
            )
        )
        client = everything.enter_context(distributed.Client(cluster))
        yield _places(client, n_workers)


@contextmanager
def at(address: str, n_tasks: int | None = None) -> Iterator[Places]:
    """Give out work to a scheduler that runs already; its workers should have one thread each.

    Raises
    ------
    InputError
        If none answers, or it has no workers.
    """
    _, distributed = _dask()
    try:
        client = distributed.Client(address, timeout=ANSWER)
    except (OSError, ValueError) as error:
        raise InputError(
            f"no Dask scheduler answered at {address} ({error}); start one with `dask "
            "scheduler`, and workers with `dask worker ADDRESS --nthreads 1`"
        ) from error
    with client:
        threads = sum(client.nthreads().values())
        if not threads:
            raise InputError(
                f"the Dask scheduler at {address} has no workers; start some with `dask worker "
                f"{address} --nthreads 1`"
            )
        yield _places(client, n_tasks or AHEAD * threads)


@contextmanager
def slurm(jobs: SlurmJobs) -> Iterator[Places]:
    """Submit jobs, replace those that end, and cancel them at the end."""
    with ExitStack() as everything:
        _, distributed = _dask()
        cluster = everything.enter_context(slurm_cluster(jobs))
        # adaptive as to what is lost, not as to how much there is to do
        cluster.adapt(minimum_jobs=jobs.jobs, maximum_jobs=jobs.jobs)
        client = everything.enter_context(distributed.Client(cluster))
        yield _places(client, AHEAD * jobs.jobs * jobs.cores)


def slurm_cluster(jobs: SlurmJobs) -> Any:
    """Return the `dask_jobqueue.SLURMCluster`, without any job yet.

    Workers retire, with their tasks done, before SLURM would kill them: after 90 % of the
    walltime, the last of them after 95 %.
    """
    try:
        from dask_jobqueue import SLURMCluster
    except ImportError as error:
        raise InputError(MISSING) from error
    seconds = _seconds(jobs.walltime)
    lifetime = (f"--lifetime {int(0.9 * seconds)}s", f"--lifetime-stagger {seconds // 20}s")
    options = {"dashboard_address": None} | ({} if jobs.host is None else {"host": jobs.host})
    return SLURMCluster(
        n_workers=0,
        cores=jobs.cores,
        processes=jobs.cores,
        memory=jobs.memory,
        walltime=jobs.walltime,
        queue=jobs.queue,
        account=jobs.account,
        interface=jobs.interface,
        job_extra_directives=list(jobs.directives),
        job_script_prologue=list(jobs.prologue),
        scheduler_options=options,
        worker_extra_args=" ".join(lifetime).split(),
    )


def _places(client: Any, n_tasks: int) -> Places:
    return Places(client.get_executor(pure=False), n_tasks)


def _dask() -> tuple[Any, Any]:
    try:
        import distributed
        from dask import config
    except ImportError as error:
        raise InputError(MISSING) from error
    return config, distributed


def _seconds(walltime: str) -> int:
    """Of a time limit as SLURM writes it: minutes, M:S, H:M:S, D-H, D-H:M or D-H:M:S."""
    days, _, rest = walltime.rpartition("-")
    parts = rest.split(":")
    if len(parts) > 3 or not all(part.isdecimal() for part in [days or "0", *parts]):
        raise InputError(f"expected a walltime as '01:30:00' or '2-00', got {walltime!r}")
    numbers = [int(part) for part in parts]
    if not days:
        numbers = {1: [0, *numbers, 0], 2: [0, *numbers]}.get(len(numbers), numbers)
    hours, minutes, seconds = [*numbers, 0, 0][:3]
    return ((24 * int(days or 0) + hours) * 60 + minutes) * 60 + seconds
