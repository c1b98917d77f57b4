"""The kernels of a GPU: in Triton's interpreter on the CPU, and compiled where there is a GPU."""

import ast
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import torch
from e3nn.o3 import Irreps

from ase_symcalc.nn.kernels import contraction, reference, triton_kernels
from ase_symcalc.nn.kernels.adjacency import Adjacency
from ase_symcalc.nn.kernels.paths import PathTable
from ase_symcalc.nn.kernels.triton_source import ARGUMENTS, write

ROOT = Path(__file__).parents[3]
TABLES = {
    "both parities": ("3x0e+2x0o+1x1o", "0e+1o", "0e+0o+1e+1o"),
    "more channels than a program has": ("66x0e+2x1o", "0e+1o", "0e+1o"),
    "proper rotations only, and a block without a path": ("2x0e+4x1e+1x2o", "0e+1e", "1e+2e"),
    "one block, second degree": ("5x2e", "0e+2e", "0e+1e+2e"),
}
WANTED = (("g",), ("x", "y", "b", "t"), ("y",), ("b",))


def problem(table, dtype, n_edges, n_taps, device):
    """Random edges and arguments; the last row of each kind has no edge."""
    rng = torch.Generator().manual_seed(n_edges)

    def whole(high):
        return torch.randint(0, high, (n_edges,), generator=rng).to(device)

    def normal(*shape):
        return torch.randn(*shape, generator=rng, dtype=dtype).to(device)

    n_intervals = n_edges if n_taps == 1 else 3
    adjacency = Adjacency.build(
        whole(2).sort().values,
        whole(3),
        torch.arange(n_edges, device=device) if n_taps == 1 else whole(2),
        n_centres=3,
        n_rows=4,
        n_intervals=n_intervals,
        n_taps=n_taps,
    )
    return adjacency, {
        "g": normal(3, table.irreps_out.dim),
        "x": normal(4, table.irreps_x.dim),
        "y": normal(n_edges, table.n_sh),
        "b": normal(n_edges, n_taps),
        "t": normal(adjacency.n_knots, table.n_weights),
    }


def compare(device):
    """All derivatives against the reference, on CPU tensors if Triton only interprets."""
    for name, irreps in TABLES.items():
        table = PathTable.build(*map(Irreps, irreps))
        for dtype in (torch.float64, torch.float32):
            for n_edges, n_taps in ((5, 2), (0, 4), (2, 1)):
                adjacency, arguments = problem(table, dtype, n_edges, n_taps, device)
                for wanted in WANTED:
                    given = {n: None if wanted == (n,) else v for n, v in arguments.items()}
                    ours = triton_kernels.contract(table, adjacency, wanted, given)
                    plain = reference.contract(table, adjacency, wanted, given)
                    assert set(ours) == set(wanted)
                    rtol, atol = (1e-12, 1e-12) if dtype is torch.float64 else (1e-4, 1e-4)
                    for key in wanted:
                        torch.testing.assert_close(
                            ours[key],
                            plain[key],
                            rtol=rtol,
                            atol=atol,
                            msg=lambda text, case=(name, dtype, n_edges, key): f"{case}: {text}",
                        )


def can_interpret():
    """Whether there is a Triton; interpreters before 3.7 do not know NumPy 2.4."""
    try:
        version = metadata.version("triton")
    except metadata.PackageNotFoundError:
        return False
    return tuple(map(int, version.split(".")[:2])) >= (3, 7)


@pytest.mark.skipif(not can_interpret(), reason="there is no Triton, or one older than 3.7")
def test_interpreted_contractions_are_the_reference():
    """In a process of its own: Triton must know when it is imported that it is to interpret."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TRITON_INTERPRET": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error", __file__],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_compiled_contractions_are_the_reference():
    compare("cuda")


def test_without_triton_a_gpu_runs_the_reference(monkeypatch):
    assert contraction.BACKENDS["cuda"] is triton_kernels.contract
    monkeypatch.setattr(triton_kernels, "_installed", lambda: False)
    compare("cpu")


@pytest.mark.parametrize("kernel", ARGUMENTS)
def test_source_is_python_and_always_the_same(kernel):
    """Triton keeps compiled kernels by their text, from one process to the next."""
    irreps = [Irreps(text) for text in TABLES["both parities"]]
    texts = {write(PathTable.build(*irreps), 4, kernel, "float32").text for _ in range(2)}
    (text,) = texts
    functions = [node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    assert functions[-1] == "kernel"
    assert "float64" not in text


if __name__ == "__main__":
    triton_kernels._CHUNK = 2
    compare("cpu")
