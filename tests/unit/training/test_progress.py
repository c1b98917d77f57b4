import io

from rich.console import Console

from ase_symcalc.training.progress import Report

ROW = {
    "epoch": 2,
    "training_loss": 1.25,
    "energy_mae": 3.5,
    "force_mae": 50.0,
    "stress_mae": 0.5,
}


def shown(*, terminal: bool, quiet: bool = False) -> str:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=150, quiet=quiet)
    with Report(10, quiet=quiet, console=console) as report:
        report.step(1.5, 2.0)
        report.epoch(ROW)
        report.step(2.5, 1.0)
    return stream.getvalue()


def test_a_file_gets_a_plain_line_per_epoch() -> None:
    (line,) = shown(terminal=False).splitlines()
    assert line.startswith(
        "epoch 2/10 | loss 1.25 | E 3.50 meV/atom, F 50.0 meV/Å, S 0.500 GPa | 0 h 00 min left"
    )


def test_a_terminal_gets_a_live_line() -> None:
    text = shown(terminal=True)
    assert "epoch 2.5/10" in text
    assert "E 3.50 meV/atom" in text


def test_quiet_says_nothing() -> None:
    assert shown(terminal=False, quiet=True) == ""
