"""Every example runs; `test_readme` runs those that stand in the README."""

import ast
import json
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from ase_symcalc.errors import OutsideTrainingWarning

EXAMPLES = Path(__file__).parents[2] / "examples"
IN_README = {"md.py", "relax.py"}
OTHERS = {
    "elastic.py": "bulk modulus",
    "environments.py": "surface: 25 %",
    "graphs.py": "54 atoms would move",
    "phonons.py": "modes at Γ",
    "spectra.py": "Bispectrum calls the same: [0, 0, 2]",
    "vacancy.py": "migration",
}
ELSEWHERE = {"openmm_md.py"}  # tests/integrations: runs where its engine is installed


def test_there_are_these_scripts_and_a_notebook():
    assert {path.name for path in EXAMPLES.glob("*.py")} == IN_README | OTHERS.keys() | ELSEWHERE
    assert [path.name for path in EXAMPLES.glob("*.ipynb")] == ["tour.ipynb"]


@pytest.mark.parametrize(("name", "words"), OTHERS.items())
def test_script_runs(name, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = (EXAMPLES / name).read_text(encoding="utf-8")
    exec(compile(code, name, "exec"), {"__name__": "__main__"})
    assert words in capsys.readouterr().out


def test_notebook_runs_and_shows_what_it_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    notebook = json.loads((EXAMPLES / "tour.ipynb").read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)
    names = {}
    try:
        shown = [executed(cell, names) for cell in cells[:-1]]
        with pytest.warns(OutsideTrainingWarning, match="No Ni was near Cu"):
            executed(cells[-1], names)
    finally:
        plt.close("all")
    calculator, relaxed, symmetry, fit = shown
    assert "metals-preview" in calculator._repr_html_()
    assert "Cu4, converged in" in repr(relaxed)
    assert symmetry.startswith("1 of 108 atoms")
    assert 120 < fit.bulk_modulus < 160


def executed(cell, names):
    """Run a cell as a notebook does; the value of its last expression."""
    tree = ast.parse("".join(cell["source"]))
    last = tree.body.pop()
    assert isinstance(last, ast.Expr)
    exec(compile(tree, "tour.ipynb", "exec"), names)
    return eval(compile(ast.Expression(last.value), "tour.ipynb", "eval"), names)
