import os
import re
import shutil
import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

ABOUT = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses", "top_level.txt"}
IN_POTENTIALS = {".csv", ".json", ".md", ".png", ".safetensors", ".toml"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel of a copy of the tree, since building leaves files behind."""
    pytest.importorskip("setuptools", minversion="77")
    copy = tmp_path_factory.mktemp("tree")
    for name in ("ase_symcalc", "potentials"):
        shutil.copytree(
            ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "_potentials")
        )
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    (copy / "potentials" / "another").mkdir()
    (copy / "potentials" / "another" / "card.toml").write_text("schema = 0\n")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", copy / "out"]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, copy], check=True)
    (path,) = (copy / "out").glob("ase_symcalc-*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_it_holds_every_module_and_the_type_marker(wheel):
    tree = {str(path.relative_to(ROOT)) for path in (ROOT / "ase_symcalc").rglob("*.py")}
    assert {*tree, "ase_symcalc/py.typed"} <= set(wheel.namelist())


def test_it_holds_the_potentials(wheel):
    shipped = {str(path.relative_to(ROOT)) for path in (ROOT / "potentials").glob("*/*")}
    inside = {name for name in wheel.namelist() if name.startswith("ase_symcalc/_potentials/")}
    assert {f"ase_symcalc/_{name}" for name in {*shipped, "potentials/another/card.toml"}} == inside


def test_it_holds_nothing_else(wheel):
    for name in wheel.namelist():
        place, _, rest = name.partition("/")
        if place.endswith(".dist-info"):
            assert rest.partition("/")[0] in ABOUT, name
        elif name.startswith("ase_symcalc/_potentials/"):
            assert Path(name).suffix in IN_POTENTIALS, name
        else:
            assert place == "ase_symcalc", name
            assert rest == "py.typed" or rest.endswith(".py"), name
            assert not {"tests", "test", "benchmarks", "examples"} & set(Path(rest).parts), name


def test_it_names_no_place_of_a_machine(wheel):
    """Neither the tree that it was built from nor anybody's home."""
    places = re.compile(
        rb"/home/\w|/Users/\w|/root/|[A-Z]:\\\\?Users|/tmp/(?!ipi_)\w|/var/folders|/mnt/\w|"
        + re.escape(str(ROOT).encode())
    )
    for name in wheel.namelist():
        if Path(name).suffix != ".safetensors":  # numbers, which may spell anything
            assert not (found := places.search(wheel.read(name))), (name, found)


def test_it_is_small(wheel):
    code = sum(e.compress_size for e in wheel.infolist() if "/_potentials/" not in e.filename)
    assert code < 1_000_000
    assert sum(e.compress_size for e in wheel.infolist()) < 60_000_000  # PyPI takes 100 MB


def test_it_comes_with_its_licence(wheel):
    (name,) = (name for name in wheel.namelist() if name.endswith("/licenses/LICENSE"))
    assert wheel.read(name) == (ROOT / "LICENSE").read_bytes()


def test_it_says_what_it_needs(wheel):
    (name,) = (name for name in wheel.namelist() if name.endswith("/METADATA"))
    metadata = message_from_bytes(wheel.read(name))
    assert metadata["Name"] == "ase-symcalc"
    assert metadata["License-Expression"] == "MIT"
    assert any(line.startswith("torch<2.14") for line in metadata.get_all("Requires-Dist"))
    entry_points = wheel.read(name.replace("METADATA", "entry_points.txt")).decode()
    assert "symcalc = ase_symcalc.cli.main:main" in entry_points
    assert "symcalc = ase_symcalc.ase_plugin" in entry_points


def test_unpacked_it_finds_its_potentials(wheel, tmp_path):
    wheel.extractall(tmp_path)
    program = "from ase_symcalc.potential_files import find; print(find._places()[0])"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    environment.pop("ASE_SYMCALC_POTENTIALS", None)
    command = [sys.executable, "-c", program]
    place = subprocess.check_output(command, env=environment, cwd=tmp_path, text=True).strip()
    assert Path(place) == tmp_path / "ase_symcalc" / "_potentials"
