"""The peers' own virtual environments, and the checkpoints that are compared."""

import os
import subprocess
import sys
from pathlib import Path

TORCH = "torch==2.13.0"
PACKAGES = {
    "sevenn": ["sevenn"],
    "mace-torch": ["mace-torch"],
    "symmetrix-xl": ["symmetrix-xl[mace]"],  # the extra is what its converter needs
}
SYMBOLS = ("O", "Si", "Ti", "Sr")  # converted for symmetrix-xl; all 89 take it minutes to load


class UnavailableError(Exception):
    """A peer that cannot be run here; says why."""


def default_folder():
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "ase_symcalc" / "benchmarks"


def python_of(folder, peer):
    """Interpreter of a peer's environment, which is made if it is not there.

    Raises
    ------
    UnavailableError
        If something cannot be installed.
    """
    python = folder / peer / "bin" / "python"
    if _has(python, peer):
        return python
    print(f"making an environment for {peer} in {folder / peer}", flush=True)
    _run(peer, [sys.executable, "-m", "venv", str(folder / peer)])
    install = [str(python), "-m", "pip", "install", "--quiet"]
    _run(peer, [*install, TORCH])  # first, so that the index chooses its build and nothing else
    _run(peer, [*install, *PACKAGES[peer]])
    return python


def checkpoint(folder, network, engine):
    """File that an engine reads; all engines of a network read the same weights.

    Raises
    ------
    UnavailableError
        If the package that makes or brings the file cannot be installed.
    """
    if network == "SevenNet-0":
        asked = "import sevenn; print(sevenn.__path__[0])"
        package = _run("sevenn", [str(python_of(folder, "sevenn")), "-c", asked]).splitlines()[-1]
        return next(Path(package).glob("pretrained_potentials/SevenNet_0__11Jul2024/*.pth"))
    models = folder / "models"
    models.mkdir(parents=True, exist_ok=True)
    path, converted = models / "medium.model", models / "medium.json"
    if not path.exists():
        script = Path(__file__).with_name("_mace_file.py")
        _run("mace-torch", [str(python_of(folder, "mace-torch")), str(script), str(path)])
    if engine != "symmetrix-xl":
        return path
    if not converted.exists():
        convert = python_of(folder, engine).with_name("symmetrix_extract_mace")
        options = ["--model", str(path), "--output", str(converted)]
        _run(engine, [str(convert), *options, "--chemical-symbols", *SYMBOLS])
    return converted


def _has(python, package):
    """Whether it was installed to the end: the package comes last."""
    asked = f"from importlib.metadata import version; version({package!r})"
    command = [str(python), "-c", asked]
    return python.exists() and subprocess.run(command, capture_output=True).returncode == 0


def _run(peer, command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UnavailableError(f"{peer} is left out: {Path(command[0]).name} failed with: {last}")
    return done.stdout
