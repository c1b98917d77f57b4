"""How equal numbers must be, by what stands between them."""

EXACT = 0.0
"""The same operations on the same numbers, in the same order."""

TIGHT = 1e-10
"""eV/atom, eV/Å, eV/Å³: the same sum in another order, or of numbers rounded differently."""

DERIVATIVE = 1e-6
"""Relative to the largest: exact derivatives against central differences, float64."""

SINGLE = {"energy": 2e-6, "forces": 5e-5, "stress": 1e-5}
"""eV/atom, eV/Å, eV/Å³: what float32 leaves of the small potential of the tests."""
