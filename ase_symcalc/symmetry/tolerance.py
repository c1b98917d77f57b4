"""What counts as symmetric."""

from __future__ import annotations

import numbers

from ase_symcalc.errors import InputError

# Å. "auto" means exact: a crystal of eight decimals still has its symmetry, and one with an atom
# moved by the 1e-6 Å of a numerical derivative has lost it
TIGHT = 1e-7
LOOSEST = 0.1


def tolerance_of(setting: object) -> float | None:
    """Tolerance (Å) that "auto", "off" (None) or a number stands for.

    Raises
    ------
    InputError
        If it is anything else, or not above 0 and up to 0.1 Å.
    """
    if isinstance(setting, str) and setting in ("auto", "off"):
        return TIGHT if setting == "auto" else None
    return checked(setting, "symmetry to be 'auto', 'off' or a tolerance")


def checked(tolerance: object, expected: str = "a tolerance") -> float:
    """Return a tolerance (Å) that has a meaning.

    Raises
    ------
    InputError
        If it is not a number above 0 and up to 0.1 Å; ``expected`` goes into the sentence.
    """
    known = isinstance(tolerance, numbers.Real) and not isinstance(tolerance, bool)
    if not known or not 0 < tolerance <= LOOSEST:  # type: ignore[operator]
        raise InputError(f"expected {expected} above 0 and up to {LOOSEST} Å, got {tolerance!r}")
    return float(tolerance)  # type: ignore[arg-type]
