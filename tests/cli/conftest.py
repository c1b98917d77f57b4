"""The command line on the small potential, in a folder of its own."""

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
def crystal(silicon, tmp_path):
    """A shaken silicon crystal, in a file."""
    path = tmp_path / "silicon.cif"
    write(path, silicon)
    return path
