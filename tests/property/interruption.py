"""Ctrl-C at a chosen moment of a call."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ase_symcalc

_OURS = str(Path(ase_symcalc.__file__).parent)
_MOMENTS = ("call", "c_return")
"""When the interpreter looks for signals: as a function begins, and after one written in C."""


@contextmanager
def _stopped_at(moment: float) -> Iterator[list[int]]:
    """Raise KeyboardInterrupt at the n-th moment within the package; count them until then."""
    count = [0]

    def profile(frame, event, _):
        if event in _MOMENTS and frame.f_code.co_filename.startswith(_OURS):
            count[0] += 1
            if count[0] == moment:
                sys.setprofile(None)
                raise KeyboardInterrupt

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        yield count
    finally:
        sys.setprofile(before)


def moments_of(call: Callable[[], Any]) -> int:
    """How often a call can be interrupted."""
    with _stopped_at(float("inf")) as count:
        call()
    return count[0]


def interrupted(call: Callable[[], Any], moment: int) -> bool:
    """Whether a call was interrupted at its n-th moment; False if it was done before."""
    try:
        with _stopped_at(moment):
            call()
    except KeyboardInterrupt:
        return True
    return False
