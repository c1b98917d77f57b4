"""What the settings of a calculator may be."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import Any

from ase_symcalc.errors import InputError
from ase_symcalc.symmetry.tolerance import tolerance_of


def checked_setting(name: str, value: Any) -> Any:
    """Return the value of a setting in its own type.

    Raises
    ------
    InputError
        If it has no meaning.
    """
    return _CHECKS[name](value)


def _distance(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise InputError(f"expected a length in Å, got {value!r}")
    return float(value)


def _symmetry(value: Any) -> str | float:
    tolerance = tolerance_of(value)
    return value if isinstance(value, str) or tolerance is None else tolerance


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "potential": lambda value: value,
    "device": str,
    "dtype": str,
    "symmetry": _symmetry,
    "skin": _distance,
}
