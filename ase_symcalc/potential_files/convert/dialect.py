"""How a foreign code lays out its edges."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class EdgeDialect:
    """Which end of an edge sums, and which way its vector points.

    Ours is ``EdgeDialect(0, "centre_to_neighbour")``. A reversed vector changes the sign of the
    harmonics of odd degree: a converter from such a code multiplies the weights of their
    paths by `odd_sign`, which is exact with parity labels and without.
    """

    centre_row: Literal[0, 1]
    vector: Literal["centre_to_neighbour", "neighbour_to_centre"]

    @property
    def odd_sign(self) -> int:
        """Sign of a harmonic of odd degree of our vector, in that code."""
        return 1 if self.vector == "centre_to_neighbour" else -1
