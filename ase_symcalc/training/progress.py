"""What a person sees while a model trains."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn


class Report:
    """A live line on a terminal, a plain line per epoch elsewhere, nothing if quiet."""

    def __init__(self, epochs: int, *, quiet: bool = False, console: Console | None = None) -> None:
        self.epochs = epochs
        self.console = console or Console(quiet=quiet, highlight=False)
        self.live = self.console.is_terminal and not quiet
        self.bar = Progress(
            TextColumn("epoch {task.completed:.1f}/{task.total:.0f}"),
            BarColumn(bar_width=20),
            TextColumn("{task.description}"),
            console=self.console,
            disable=not self.live,
        )
        self.task = self.bar.add_task("", total=epochs)
        self.errors = ""
        self.started: tuple[float, float] | None = None

    def __enter__(self) -> Report:
        self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bar.stop()

    def say(self, text: str) -> None:
        """Print a line above the live one."""
        self.console.print(text, markup=False, soft_wrap=True)

    def step(self, epoch: float, loss: float) -> None:
        """After each batch; ``epoch`` counts parts of epochs."""
        if self.started is None:
            self.started = (time.monotonic(), epoch)
        if self.live:
            text = f"loss {loss:.4g}{self.errors}{self._left(epoch)}"
            self.bar.update(self.task, completed=epoch, description=text)

    def epoch(self, row: Mapping[str, int | float]) -> None:
        """After each epoch, with its row of the log."""
        self.errors = (
            f" | E {row['energy_mae']:.2f} meV/atom, F {row['force_mae']:.1f} meV/Å, "
            f"S {row['stress_mae']:.3f} GPa"
        )
        if not self.live:
            epoch = int(row["epoch"])
            self.say(
                f"epoch {epoch}/{self.epochs} | loss {row['training_loss']:.4g}"
                f"{self.errors}{self._left(float(epoch))}"
            )

    def _left(self, epoch: float) -> str:
        if self.started is None or epoch <= self.started[1]:
            return ""
        per_epoch = (time.monotonic() - self.started[0]) / (epoch - self.started[1])
        minutes = per_epoch * (self.epochs - epoch) / 60
        return f" | {int(minutes // 60)} h {int(minutes % 60):02d} min left"
