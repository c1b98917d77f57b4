"""The convolution against e3nn's TensorProduct, and against itself in every derivative."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from e3nn.o3 import Irreps, TensorProduct
from hypothesis import given, settings
from hypothesis import strategies as st

from ase_symcalc.nn.kernels import compiled, reference
from ase_symcalc.nn.kernels.adjacency import Adjacency
from ase_symcalc.nn.kernels.contraction import convolve
from ase_symcalc.nn.kernels.paths import PathTable
from ase_symcalc.nn.layout import blocks, from_e3nn, to_e3nn

ALL_PARITIES = Irreps("0e+0o+1e+1o+2e+2o+3e+3o")


@st.composite
def tables(draw, lmax=2, channels=(1, 2, 3, 4, 8)):
    """Different multiplicities for each degree, both parities, with and without SO(3) only."""
    degrees = draw(st.lists(st.integers(0, lmax), min_size=1, max_size=3, unique=True))
    so3_only = draw(st.booleans())
    parities = st.just(1) if so3_only else st.sampled_from([1, -1])
    irreps_x = Irreps(
        [(draw(st.sampled_from(channels)), (l, draw(parities))) for l in sorted(degrees)]
    )
    sh_lmax = draw(st.integers(0, lmax))
    irreps_sh = Irreps([(1, (l, 1 if so3_only else (-1) ** l)) for l in range(sh_lmax + 1)])
    targets = Irreps("0e+1e+2e") if so3_only else ALL_PARITIES
    return irreps_x, irreps_sh, targets


def problem(table, dtype=torch.float64, n_atoms=4, n_edges=15, n_taps=4, n_intervals=3, seed=0):
    """Random edges and arguments."""
    rng = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=rng, dtype=dtype)

    def whole(high):
        return torch.randint(0, high, (n_edges,), generator=rng)

    adjacency = Adjacency.build(
        whole(n_atoms).sort().values,
        whole(n_atoms + 1),
        whole(n_intervals),
        n_centres=n_atoms,
        n_rows=n_atoms + 1,
        n_intervals=n_intervals,
        n_taps=n_taps,
    )
    arguments = {
        "g": normal(n_atoms, table.irreps_out.dim),
        "x": normal(n_atoms + 1, table.irreps_x.dim),
        "y": normal(n_edges, table.n_sh),
        "b": normal(n_edges, n_taps),
        "t": normal(adjacency.n_knots, table.n_weights),
    }
    return adjacency, arguments


def by_e3nn(table, irreps_sh, adjacency, x, y, b, t):
    """The same convolution through e3nn, path by path."""
    rows = adjacency.interval.unsqueeze(1) + torch.arange(adjacency.n_taps)
    weights = (b.unsqueeze(2) * t[rows]).sum(1)
    irreps_mid = Irreps([(p.x.mul, (p.l3, irreps_parity(p, irreps_sh))) for p in table.paths])
    instructions = [
        (blocks(table.irreps_x).index(path.x), path.l2, n, "uvu", True)
        for n, path in enumerate(table.paths)
    ]
    torch.set_default_dtype(x.dtype)  # e3nn builds its constants in it
    try:
        product = TensorProduct(
            table.irreps_x,
            irreps_sh,
            irreps_mid,
            instructions,
            shared_weights=False,
            internal_weights=False,
        )
    finally:
        torch.set_default_dtype(torch.float32)
    messages = product(to_e3nn(x, table.irreps_x)[adjacency.neighbour], y, weights)
    columns = irreps_mid.slices()
    out = x.new_zeros(adjacency.n_centres, table.irreps_out.dim)
    for path, piece in zip(table.paths, columns, strict=True):
        block = from_e3nn(messages[:, piece], Irreps([(path.x.mul, (path.l3, 1))]))
        summed = x.new_zeros(adjacency.n_centres, block.shape[1])
        summed = summed.index_add(0, adjacency.centre, block)
        for m in range(2 * path.l3 + 1):
            start = path.out_offset + m * path.out_stride
            out[:, start : start + path.x.mul] += summed[:, m * path.x.mul : (m + 1) * path.x.mul]
    return out


def irreps_parity(path, irreps_sh):
    return path.x.p * irreps_sh[path.l2].ir.p


@settings(max_examples=15)
@given(tables())
def test_convolution_is_that_of_e3nn(drawn):
    table, irreps_sh = PathTable.build(*drawn), drawn[1]
    if not table.paths:
        return
    adjacency, a = problem(table)
    for name in ("x", "y", "b", "t"):
        a[name].requires_grad_()
    inputs = [a[n] for n in ("x", "y", "b", "t")]
    ours = convolve(table, adjacency, *inputs)
    theirs = by_e3nn(table, irreps_sh, adjacency, *inputs)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    seed = torch.randn_like(ours)
    first = [torch.autograd.grad(f, inputs, seed, create_graph=True) for f in (ours, theirs)]
    for p, q in zip(*first, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-11, atol=1e-11)
    second = [torch.autograd.grad(sum((d**2).sum() for d in side), inputs) for side in first]
    for p, q in zip(*second, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-10, atol=1e-10)


@settings(max_examples=8)
@given(tables(lmax=3, channels=(1, 3, 4, 16, 32)), st.sampled_from([torch.float32, torch.float64]))
def test_compiled_contractions_are_the_reference(drawn, dtype):
    table = PathTable.build(*drawn)
    if not table.paths:
        return
    adjacency, arguments = problem(table, dtype)
    for wanted in (("g",), ("x",), ("y",), ("b",), ("t",), ("x", "y", "b", "t")):
        given_ = {n: None if wanted == (n,) else v for n, v in arguments.items()}
        ours = compiled.contract(table, adjacency, wanted, given_)
        plain = reference.contract(table, adjacency, wanted, given_)
        assert set(ours) == set(plain) == set(wanted)
        for name in wanted:
            torch.testing.assert_close(ours[name], plain[name], rtol=1e-4, atol=1e-3)
            if dtype is torch.float64:
                torch.testing.assert_close(ours[name], plain[name], rtol=1e-12, atol=1e-11)


def test_first_and_second_derivatives_agree_with_differences():
    table = PathTable.build(Irreps("2x0e+1x1o"), Irreps("0e+1o"), Irreps("0e+1o+2e"))
    adjacency, a = problem(table, n_atoms=3, n_edges=6, n_taps=2, n_intervals=2)
    inputs = tuple(a[n].requires_grad_() for n in ("x", "y", "b", "t"))

    def f(*args):
        return convolve(table, adjacency, *args)

    assert torch.autograd.gradcheck(f, inputs)
    assert torch.autograd.gradgradcheck(f, inputs)


def test_weights_may_come_for_each_edge_instead_of_from_a_grid():
    table = PathTable.build(Irreps("4x0e"), Irreps("0e+1o"), Irreps("0e+1o"))
    adjacency, a = problem(table, n_edges=7, n_taps=1, n_intervals=7)
    each = Adjacency.build(
        adjacency.centre,
        adjacency.neighbour,
        torch.arange(7),
        n_centres=4,
        n_rows=5,
        n_intervals=7,
        n_taps=1,
    )
    one = torch.ones(7, 1, dtype=torch.float64)
    out = convolve(table, each, a["x"], a["y"], one, a["t"])
    plain = reference.contract(
        table, each, ("g",), {"g": None, "x": a["x"], "y": a["y"], "b": one, "t": a["t"]}
    )
    torch.testing.assert_close(out, plain["g"])


@pytest.mark.parametrize("n_edges", [0, 1, 3000])
def test_the_number_of_threads_changes_no_bit(n_edges, threads):
    table = PathTable.build(Irreps("16x0e+16x1o"), Irreps("0e+1o+2e"), Irreps("0e+1o+2e"))
    adjacency, a = problem(table, torch.float32, n_atoms=50, n_edges=n_edges)
    every = ("g", "x", "y", "b", "t")
    results = []
    for n in (1, 2, 3):
        threads(n)
        results.append(compiled.contract(table, adjacency, every, a))
    for other in results[1:]:
        assert all(torch.equal(results[0][n], other[n]) for n in every)


def test_threads_may_call_at_the_same_time():
    table = PathTable.build(Irreps("8x0e+8x1o"), Irreps("0e+1o"), Irreps("0e+1o"))
    adjacency, a = problem(table, torch.float32, n_atoms=50, n_edges=3000)
    expected = compiled.contract(table, adjacency, ("g", "x"), a)
    start = threading.Barrier(4)

    def work(_):
        start.wait()
        return [compiled.contract(table, adjacency, ("g", "x"), a) for _ in range(20)]

    with ThreadPoolExecutor(4) as pool:
        for results in pool.map(work, range(4)):
            assert all(torch.equal(r[n], expected[n]) for r in results for n in ("g", "x"))
