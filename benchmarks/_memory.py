"""Resident memory of this process and its peak, on Linux."""

import ctypes
from pathlib import Path

_STATUS = Path("/proc/self/status")


def resident():
    """MiB that this process holds now, after what it has freed went back to the system."""
    ctypes.CDLL(None).malloc_trim(0)
    return _status("VmRSS:")


def forget_peak():
    """Let `peak` begin anew."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak():
    """MiB that this process held at most since `forget_peak`."""
    return _status("VmHWM:")


def _status(name):
    lines = _STATUS.read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024
