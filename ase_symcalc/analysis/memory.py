"""Refusal of what would not fit into memory."""

from __future__ import annotations

from ase_symcalc.errors import InputError

MOST_MEMORY = 4e9  # bytes


def check_memory(needed: int | float, what: str) -> None:
    """Refuse what would not fit, before it is allocated.

    Parameters
    ----------
    needed : float, bytes
    what : str
        The settings that need it.

    Raises
    ------
    InputError
    """
    if needed > MOST_MEMORY:
        raise InputError(
            f"{what} needs {needed / 1e9:.3g} GB of memory, more than the {MOST_MEMORY / 1e9:g} GB "
            "allowed; use a lower lmax, fewer radial functions, or fewer atoms at a time"
        )
