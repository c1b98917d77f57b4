"""Processes on this machine that share an evaluation with the one that starts them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.distributed as dist

from ase_symcalc.errors import InputError, PotentialFileError
from ase_symcalc.evaluation import Committee

_PROGRAM = "ase_symcalc.integrations.worker"
_INTERFACES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
_LOOPBACK = {"linux": "lo", "darwin": "lo0"}
PATIENCE = 10.0
"""s, for processes that have nothing to do any more, or that failed"""


class Workers:
    """All processes but the one that starts them, which is process 0.

    Parameters
    ----------
    settings : dict
        What `join` and the calculators need, but for the folder in which processes meet.
    devices : list of str
        Of each process, the first included.

    Attributes
    ----------
    running : bool
        Whether there are such processes.
    """

    running: ClassVar[bool] = False

    def __init__(self, settings: dict[str, Any], devices: list[str]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="symcalc-")
        self.settings = {**settings, "folder": self._folder.name, "devices": devices}
        threads = str(max(1, torch.get_num_threads() // len(devices)))
        place = str(Path(__file__).parents[2])
        path = os.pathsep.join(filter(None, (place, os.environ.get("PYTHONPATH"))))
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "PYTHONPATH": path}
        command = [sys.executable, "-m", _PROGRAM, json.dumps(self.settings)]
        Workers.running = True
        self._processes = [  # Ctrl-C is for process 0, which lets the others go
            subprocess.Popen(
                [*command, str(rank)],
                env=environment,
                start_new_session=True,
                stdin=subprocess.PIPE,  # nothing comes, and it ends with process 0
            )
            for rank in range(1, len(devices))
        ]

    def wait_until_ready(self) -> None:
        """Wait until all have read the potential.

        Raises
        ------
        PotentialFileError
            If one of them ends instead; what else could fail there, has not failed here.
        """
        ready = [self._file("ready", rank) for rank in range(1, len(self._processes) + 1)]
        while not all(file.exists() for file in ready):
            if any(process.poll() is not None for process in self._processes):
                raise PotentialFileError(f"a process could not start: {self.kill()}")
            time.sleep(0.02)

    def check(self) -> None:
        """Raise RuntimeError if one has ended: torch may wait for it without end."""
        for rank, process in enumerate(self._processes, 1):
            if process.poll() is not None:
                raise RuntimeError(f"process {rank} ended with code {process.returncode}")

    def join(self) -> None:
        """Wait for processes that were told to end."""
        deadline = time.monotonic() + PATIENCE
        for process in self._processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdin is not None
            process.stdin.close()
        self._folder.cleanup()
        Workers.running = False

    def kill(self, patience: float = 0.0) -> str:
        """End all processes, and return what is known of those that had failed.

        Parameters
        ----------
        patience : float, s
            How long one that has failed may take to say so.
        """
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline and all(p.poll() is None for p in self._processes):
            time.sleep(0.02)
        said = []
        for rank, process in enumerate(self._processes, 1):
            file = self._file("failed", rank)
            if file.exists():
                said.append(f"process {rank}: {file.read_text()}")
            elif process.poll():
                said.append(f"process {rank} ended with code {process.returncode}")
        for process in self._processes:
            process.kill()
        self.join()
        return "; ".join(said)

    def _file(self, name: str, rank: int) -> Path:
        return Path(self._folder.name, f"{name}-{rank}")


def settings_of(
    committee: Committee, n_processes: int, device: str, skin: float, timeout: float
) -> tuple[dict[str, Any], list[str]]:
    """Return what all processes need to know, and their devices.

    Raises
    ------
    InputError
        If torch.distributed is in use already, or a number has no meaning.
    PotentialFileError
        If the potential is in no file.
    """
    if dist.is_initialized():
        raise InputError(
            "torch.distributed is in use already, perhaps by a calculator that is not closed; "
            "close it, or make a GraphParallelCalculator in each of its processes"
        )
    if n_processes < 1 or timeout <= 0:
        raise InputError(
            f"expected at least one process and a positive timeout, got {n_processes} and "
            f"{timeout} s"
        )
    (member,) = committee.members
    if member.folder is None and member.address is None:
        raise PotentialFileError(
            f"the potential {member.card.name} lives in memory only, where other processes "
            "cannot read it; save it with save_potential and pass its folder"
        )
    n_gpus = torch.cuda.device_count() if device == "cuda" else 0
    settings = {
        "backend": "nccl" if n_gpus >= n_processes else "gloo",
        "timeout": timeout,
        "potential": committee.addresses[0],
        "dtype": str(member.dtype).removeprefix("torch."),
        "skin": skin,
    }
    return settings, [f"cuda:{k % n_gpus}" if n_gpus else device for k in range(n_processes)]


def join_group(settings: dict[str, Any], rank: int) -> None:
    """Make torch's default group of all processes, each calling this."""
    dist.init_process_group(
        settings["backend"],
        init_method=f"file://{settings['folder']}/store",
        rank=rank,
        world_size=len(settings["devices"]),
        timeout=timedelta(seconds=settings["timeout"]),
    )


@contextmanager
def loopback_only() -> Iterator[None]:
    """Listen where nobody else can reach us."""
    before = {name: os.environ.get(name) for name in _INTERFACES}
    if sys.platform in _LOOPBACK:
        os.environ.update(dict.fromkeys(_INTERFACES, _LOOPBACK[sys.platform]))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def share_of_threads(n_processes: int) -> Iterator[None]:
    """Use a share of torch's threads, where other processes have the rest."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(max(1, n_threads // n_processes))
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)
