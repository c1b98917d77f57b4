"""What a person sees of a result at a prompt or in a notebook."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from ase import Atoms

MOST_NUMBERS = 9
MOST_ITEMS = 3
LONGEST = 60


def short_repr(result: Any) -> str:
    """Name the fields of a dataclass: numbers rounded, long arrays and lists by their size."""
    named = (f"{f.name}={_short(getattr(result, f.name))}" for f in fields(result) if f.repr)
    return f"{type(result).__name__}({', '.join(named)})"


def _short(value: Any) -> str:
    if isinstance(value, Atoms):
        return f"<{value.get_chemical_formula()}>"
    if isinstance(value, np.ndarray):
        if value.size <= MOST_NUMBERS:
            text = np.array2string(value, precision=4, separator=", ", suppress_small=True)
            return " ".join(text.split())
        return f"<{' x '.join(map(str, value.shape))} numbers>"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple | dict):
        if isinstance(value, dict) or len(value) > MOST_ITEMS:
            return f"<{len(value)} items>"
        return f"[{', '.join(map(_short, value))}]"
    if is_dataclass(value):
        return short_repr(value)
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
