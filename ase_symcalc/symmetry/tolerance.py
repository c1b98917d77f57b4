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
    known = isinstance(setting, numbers.Real) and not isinstance(setting, bool)
    if not known or not 0 < setting <= LOOSEST:  # type: ignore[operator]
        raise InputError(
            f"expected symmetry to be 'auto', 'off' or a tolerance above 0 and up to "
            f"{LOOSEST} Å, got {setting!r}"
        )
    return float(setting)  # type: ignore[arg-type]
