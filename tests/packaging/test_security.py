"""What SECURITY.md promises and no other test shows."""

import ast
import re
from pathlib import Path

import pytest
import torch

from ase_symcalc.errors import InputError
from ase_symcalc.training.checkpoint import read_checkpoint

ROOT = Path(__file__).parents[2]
SECURITY = (ROOT / ".github/SECURITY.md").read_text(encoding="utf-8")
MODULES = sorted((ROOT / "ase_symcalc").rglob("*.py"))
OWN_TEXT = "ase_symcalc/nn/kernels/triton_kernels.py"
"""It runs kernels whose text the modules beside it write, of numbers."""
BUILT_IN = {"eval", "exec", "compile", "__import__", "breakpoint"}
EXECUTES = re.compile(
    r"(c?[Pp]ickle|dill|cloudpickle|marshal|shelve|joblib|runpy|code|yaml|ctypes|pty)"
    r"\.(loads?|Unpickler|open|run_path|run_module|interact|spawn|CDLL|cdll)"
    r"|torch\.(jit\.load|hub|package|ops\.load_library|classes\.load_library)"
    r"|torch\.utils\.cpp_extension\.\w+|torch\.load|os\.(system|popen|exec\w+|spawn\w+|startfile)"
    r"|subprocess\.(getoutput|getstatusoutput)|importlib\.(machinery|util\.module_from_spec).*"
)


def calls(module):
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield node, ast.unparse(node.func)


def said(call):
    return {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}


def executes(call, name):
    """Whether a call would run what a file or a line of text says."""
    if name == "torch.load":
        return said(call).get("weights_only") != "True"
    if any(said(call).get(word, "False") != "False" for word in ("shell", "allow_pickle")):
        return True
    return name in BUILT_IN or EXECUTES.fullmatch(name) is not None


def parsed(line):
    node = ast.parse(line, mode="eval").body
    return node, ast.unparse(node.func)


@pytest.mark.parametrize(
    "line",
    [
        "pickle.loads(x)",
        "torch.load(x)",
        "torch.load(x, weights_only=False)",
        "torch.jit.load(x)",
        "eval(x)",
        "np.load(x, allow_pickle=True)",
        "os.system(x)",
        "subprocess.run(x, shell=True)",
    ],
)
def test_such_a_call_would_be_found(line):
    assert executes(*parsed(line))


def test_no_module_calls_what_executes_a_file():
    found = [
        f"{module.relative_to(ROOT)}:{call.lineno}: {name}"
        for module in MODULES
        for call, name in calls(module)
        if executes(call, name)
    ]
    assert {line.partition(":")[0] for line in found} <= {OWN_TEXT}, found


def test_no_such_function_is_imported_by_its_own_name():
    """Then the test above would not see it called."""
    for module in MODULES:
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                assert not [name for name in names if EXECUTES.fullmatch(name)], module


def test_a_checkpoint_of_a_training_is_not_executed(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    torch.save({"schema": 1, "digest": "x", "trap": Trap()}, tmp_path / "checkpoint.pt")
    with pytest.raises(InputError, match="cannot be read: it is damaged, or none of ours"):
        read_checkpoint(tmp_path / "checkpoint.pt", "x", "cpu")
    assert not (tmp_path / "sprung").exists()


def test_the_tests_that_it_names_are_there():
    named = set(re.findall(r"(?:[\w/]+/)?test_\w+\.py", SECURITY))
    assert len(named) > 8
    for name in named:
        assert any(str(path).endswith(f"/{name}") for path in (ROOT / "tests").rglob("*.py")), name
