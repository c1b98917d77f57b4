"""How far a screen is."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """How far a screen is."""

    read: int = 0
    """Structures that were read, those of other shards included"""
    known: int = 0
    """of these, what the store had already, or what came before in the input"""
    elsewhere: int = 0
    """of these, those of other shards"""
    statuses: dict[str, int] = field(default_factory=dict)
    """How many came to which end in this run"""
    restarts: int = 0
    """Workers that died or were timed out"""
    seconds: float = 0.0
    warnings: list[str] = field(default_factory=list)

    @property
    def done(self) -> int:
        """Structures worked on in this run, however that ended."""
        return sum(self.statuses.values())

    @property
    def failures(self) -> int:
        """Of these, those without a result."""
        return self.statuses.get("failed", 0)

    @property
    def settled(self) -> int:
        """Structures of the input that need nothing more."""
        return self.done + self.known + self.elsewhere
