"""The command line on the small potential, in a folder of its own."""

from itertools import count

import pytest
from ase.io import write

from ase_symcalc.cli.main import main


@pytest.fixture
def symcalc(potential_folder, tmp_path, monkeypatch, capsys):
    """Run a command; returns its exit code, stdout and stderr."""
    monkeypatch.setenv("ASE_SYMCALC_POTENTIALS", str(potential_folder.parent))
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def ctrl_c(monkeypatch):
    """Stop commands by Ctrl-C where a method is called the nth time; returns how to end that."""

    def stop(owner, name, at=1):
        method = getattr(owner, name)
        calls = count(1)

        def counted(*arguments, **options):
            if next(calls) == at:
                raise KeyboardInterrupt
            return method(*arguments, **options)

        monkeypatch.setattr(owner, name, counted)
        return lambda: monkeypatch.setattr(owner, name, method)

    return stop


@pytest.fixture
def crystal(silicon, tmp_path):
    """A shaken silicon crystal, in a file."""
    path = tmp_path / "silicon.cif"
    write(path, silicon)
    return path
