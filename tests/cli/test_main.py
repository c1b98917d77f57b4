"""What all commands share: help, version, exit codes, failures in words."""

import subprocess
import sys
from argparse import Namespace

import pytest
from ase.calculators.calculator import CalculatorSetupError, PropertyNotImplementedError

from ase_symcalc import __version__
from ase_symcalc.cli import main as module
from ase_symcalc.errors import InputError


def test_help_names_every_command_and_loads_nothing_heavy():
    script = (
        "import sys\n"
        "from ase_symcalc.cli.main import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit as end:\n    code = end.code\n"
        "heavy = {'ase', 'e3nn', 'matplotlib', 'numpy', 'rich', 'scipy', 'spglib', 'torch'}\n"
        "sys.exit(code or ' '.join(heavy & sys.modules.keys()) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for command in ("relax", "evaluate", "potentials", "train"):
        assert command in done.stdout


def test_version(capsys):
    with pytest.raises(SystemExit, match="0"):
        module.main(["--version"])
    assert capsys.readouterr().out == f"symcalc {__version__}\n"


@pytest.mark.parametrize("command", ["relax", "evaluate", "potentials", "train"])
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        module.main([command, "--help"])
    assert "usage: symcalc" in capsys.readouterr().out


def failing(monkeypatch, error):
    """``main`` with a command that raises."""

    def run(args):
        raise error

    class Parser:
        def parse_args(self, arguments):
            return Namespace(run=run, command="relax")

    monkeypatch.setattr(module, "_parser", Parser)
    return module.main([])


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (InputError("expected this"), "expected this"),
        (CalculatorSetupError("no such potential"), "no such potential"),
        (PropertyNotImplementedError("no stress"), "no stress"),
        (FileNotFoundError(2, "No such file", "x.cif"), "x.cif: No such file"),
        (OSError("disk is full"), "disk is full"),
    ],
)
def test_failure_is_a_sentence(monkeypatch, capsys, error, sentence):
    assert failing(monkeypatch, error) == 2
    assert capsys.readouterr().err == f"symcalc relax: {sentence}\n"


def test_interrupt_has_its_own_code(monkeypatch, capsys):
    assert failing(monkeypatch, KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == "symcalc relax: stopped\n"


def test_bug_keeps_its_traceback(monkeypatch):
    with pytest.raises(ZeroDivisionError):
        failing(monkeypatch, ZeroDivisionError())
