"""What a person sees while a command works."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

BETWEEN_LINES = 2.0  # seconds, where every line stays


class Progress:
    """On stderr: one live line on a terminal, plain lines elsewhere, nothing if quiet."""

    def __init__(self, *, quiet: bool = False, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False)
        self.console.quiet = quiet
        self.live = Live(console=self.console, refresh_per_second=10)
        self._waiting: str | None = None
        self._printed = -BETWEEN_LINES
        self._work = _Work(0, 0)

    def __enter__(self) -> Progress:
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._print_waiting()
        self.live.stop()

    def say(self, *texts: str) -> None:
        """Print lines above the live one."""
        self._print_waiting()
        for text in texts:
            self.console.print(text, markup=False, soft_wrap=True)

    def update(self, text: str) -> None:
        """Show where the work is; off a terminal at most every two seconds, and at the end."""
        self._show(Text(text), text)

    def bar(self, done: int | float, total: int | float, text: str) -> None:
        """Show how much of the work is done, and how long the rest will take."""
        if not self._work.goes_on(done, total):
            self._work = _Work(done, total)
        words = f"{done:g}/{total:g}  {text}{self._work.left(done)}"
        row = Table.grid(padding=(0, 1))
        row.add_row(ProgressBar(total=total, completed=done, width=20), Text(words))
        self._show(row, words)

    def _show(self, live: RenderableType, plain: str) -> None:
        if self.live.is_started:
            self.live.update(live)
            return
        self._waiting = plain
        if time.monotonic() >= self._printed + BETWEEN_LINES:
            self._print_waiting()

    def _print_waiting(self) -> None:
        text, self._waiting = self._waiting, None
        if text is not None:
            self.console.print(text, markup=False, soft_wrap=True)
            self._printed = time.monotonic()


class _Work:
    """How fast something gets done."""

    def __init__(self, done: int | float, total: int | float) -> None:
        self.start, self.done, self.total = done, done, total
        self.started = time.monotonic()

    def goes_on(self, done: int | float, total: int | float) -> bool:
        goes_on = total == self.total and done >= self.done
        self.done = done
        return goes_on

    def left(self, done: int | float) -> str:
        if done <= self.start or done >= self.total:
            return ""
        per_unit = (time.monotonic() - self.started) / (done - self.start)
        return f"  {_duration(per_unit * (self.total - done))} left"


def _duration(seconds: int | float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
