"""README.md: its Python runs, and so do its commands."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import write

from ase_symcalc.cli.main import main

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SET_UP = README.split("## Set up")[1].split("\n## ")[0]


def blocks(language, text=README):
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


COMMANDS = [
    words[words.index("symcalc") :]
    for block in blocks("sh")
    for line in block.splitlines()
    for part in line.split("&&")
    if "symcalc" in (words := shlex.split(part, comments=True))
]


@pytest.mark.parametrize("code", blocks("python"), ids=["relax", "md"])
def test_python_runs(code, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out


@pytest.mark.parametrize(("number", "name"), [(0, "relax.py"), (1, "md.py")])
def test_python_is_in_examples(number, name):
    assert (ROOT / "examples" / name).read_text(encoding="utf-8") == blocks("python")[number]


def test_set_up_is_two_lines():
    install, tests = (block.strip() for block in blocks("sh", SET_UP))
    assert "\n" not in install + tests
    assert install.split(" && ")[0] == tests.split(" && ")[0] == (
        "python -m pip install torch==2.13.0"
    )  # fmt: skip
    assert f"<!-- tests -->\n```sh\n{tests}\n```\n<!-- /tests -->" in README


@pytest.mark.parametrize("block", blocks("sh"))
def test_shell_parses(block):
    done = subprocess.run(["bash", "-n", "-c", block], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_symcalc_commands_run(tmp_path, monkeypatch):
    """One after the other, as they use each other's files."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "examples", "examples")
    own_frames("frames.extxyz")
    Path("config.toml").write_text(CONFIG)
    shown = {"relax", "evaluate", "eos", "elastic", "md", "potentials", "train"}
    assert {words[1] for words in COMMANDS} == shown
    for words in COMMANDS:
        assert main(words[1:]) == 0, words
    made = {"relax.png", "silicon-relaxed.cif", "copper-relaxed.vasp", "copper-relaxed.traj", "run"}
    made |= {"eos.html", "copper-relaxed-elastic.json", "copper-relaxed-md.csv"}
    assert made <= {path.name for path in tmp_path.iterdir()}


CONFIG = """
folder = "run"
model = {elements = ["Cu"], cutoff = 3.5, num_layers = 1, num_channels = 2, lmax = 1}
data = {train = ["frames.extxyz"], validation_fraction = 0.25}
schedule = {epochs = 1, warmup_epochs = 0}
"""


def own_frames(path):
    frames = []
    for seed in range(8):
        atoms = bulk("Cu", cubic=True)
        atoms.rattle(0.05, seed=seed)
        atoms.calc = EMT()
        atoms.get_stress()
        frames.append(atoms)
    write(path, frames)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"examples/[\w.]+", README))))
def test_example_is_shipped(path):
    assert (ROOT / path).exists()


def test_structures_of_the_examples_are_shipped():
    assert {"silicon.cif", "copper.vasp"} <= {path.name for path in (ROOT / "examples").iterdir()}
