"""What is shown of work that goes on: live on a terminal, in lines elsewhere."""

import io

import pytest
from rich.console import Console

from ase_symcalc.cli import progress as module
from ase_symcalc.cli.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only when a test says so."""

    class Clock:
        seconds = 100.0

        def monotonic(self):
            return self.seconds

    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def shown(work, *, terminal=False, quiet=False):
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=100, highlight=False)
    with Progress(quiet=quiet, console=console) as progress:
        work(progress)
    return stream.getvalue()


def test_lines_are_two_seconds_apart_and_the_last_is_there(clock):
    def work(progress):
        for step in range(8):
            progress.update(f"step {step}")
            clock.seconds += 0.5

    assert shown(work).splitlines() == ["step 0", "step 4", "step 7"]


def test_what_is_said_stands_after_what_was_shown(clock):
    def work(progress):
        progress.update("one [bold]")
        progress.update("two")
        progress.say("said [red]")
        progress.update("three")

    assert shown(work).splitlines() == ["one [bold]", "two", "said [red]", "three"]


def test_time_left(clock):
    def work(progress):
        for done in range(4):
            progress.bar(done, 4, "strains")
            clock.seconds += 1000
        progress.bar(4, 4, "strains")
        progress.bar(0, 2, "others")

    assert shown(work).splitlines() == [
        "0/4  strains",
        "1/4  strains  50 min 00 s left",
        "2/4  strains  33 min 20 s left",
        "3/4  strains  16 min 40 s left",
        "4/4  strains",
        "0/2  others",
    ]


def test_a_terminal_has_a_live_line():
    def work(progress):
        progress.bar(1, 4, "strains")
        progress.say("above")
        progress.update("two")

    text = shown(work, terminal=True)
    assert "above" in text
    assert "two" in text
    assert "\x1b[" in text


@pytest.mark.parametrize("terminal", [True, False])
def test_quiet_says_nothing(terminal):
    def work(progress):
        progress.say("one")
        progress.update("two")
        progress.bar(1, 2, "three")

    text = shown(work, terminal=terminal, quiet=True)
    assert not any(word in text for word in ("one", "two", "three"))


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (7260, "2 h 01 min")]
)
def test_durations(seconds, words):
    assert module._duration(seconds) == words
