"""Timing on a machine that others use too: interleaved, medians, ratios within one run."""

import os
import platform
import statistics
import time


def interleaved(calls, *, seconds=3.0, warm_up=2, least=5):
    """Median, fastest and number of times of each call, taken in turns.

    Parameters
    ----------
    calls : dict of str to callable
    seconds : float
        About how long all of it may take; at least ``least`` rounds are run.

    Returns
    -------
    dict of str to dict
        ``wall`` and ``cpu``: medians in seconds; ``fastest``: of the wall times; ``repeats``.
    """
    for call in calls.values():
        for _ in range(warm_up):
            call()
    walls, cpus = {n: [] for n in calls}, {n: [] for n in calls}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(next(iter(walls.values()))) < least:
        for name, call in calls.items():
            wall, cpu = time.perf_counter(), time.process_time()
            call()
            walls[name].append(time.perf_counter() - wall)
            cpus[name].append(time.process_time() - cpu)
    return {
        name: {
            "wall": statistics.median(walls[name]),
            "cpu": statistics.median(cpus[name]),
            "fastest": min(walls[name]),
            "repeats": len(walls[name]),
        }
        for name in calls
    }


def about(**more):
    """What a result must say of where it comes from."""
    import torch

    import ase_symcalc

    return {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "threads": torch.get_num_threads(),
        "versions": {
            "ase_symcalc": ase_symcalc.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
        },
        **more,
    }
