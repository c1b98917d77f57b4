"""Timing on a machine that others use too: interleaved, medians, ratios within one run."""

import os
import platform
import statistics
import time
from pathlib import Path


def timed(call):
    """Wall and CPU seconds of one call; those of all threads of this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - cpu


def interleaved(calls, *, seconds=3.0, warm_up=2, least=5, clock=timed):
    """Median, fastest and number of times of each call, taken in turns.

    Parameters
    ----------
    calls : dict of str to callable
    seconds : float
        About how long all of it may take; at least ``least`` rounds are run.
    clock : callable
        Makes a call and returns its wall and CPU time in seconds.

    Returns
    -------
    dict of str to dict
        ``wall`` and ``cpu``: medians in seconds; ``fastest``: of the wall times; ``repeats``.
    """
    for call in calls.values():
        for _ in range(warm_up):
            clock(call)
    times = {name: [] for name in calls}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(next(iter(times.values()))) < least:
        for name, call in calls.items():
            times[name].append(clock(call))
    return {
        name: {
            "wall": statistics.median(wall for wall, _ in taken),
            "cpu": statistics.median(cpu for _, cpu in taken),
            "fastest": min(wall for wall, _ in taken),
            "repeats": len(taken),
        }
        for name, taken in times.items()
    }


def about(**more):
    """What a result must say of where it comes from."""
    import torch

    import ase_symcalc

    return {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{processor()}, {platform.machine()}, {os.cpu_count()} cores",
        "threads": torch.get_num_threads(),
        "versions": {
            "ase_symcalc": ase_symcalc.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
        },
        **more,
    }


def processor():
    """Model of the processor and its widest vector instructions, as the system names them."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return platform.processor() or "unknown processor"
    pairs = (line.split(":", 1) for line in cpuinfo.read_text("utf-8").splitlines() if ":" in line)
    known = {name.strip(): value.strip() for name, value in pairs}
    flags = known.get("flags", "").split()
    vectors = next((f" ({f})" for f in ("avx512f", "avx2") if f in flags), "")
    return known.get("model name", "unknown processor") + vectors
