"""The product basis: equivariant, complete, what its formula says, and what others make of it."""

import itertools

import pytest
import torch
from e3nn.o3 import Irreps, ReducedTensorProducts, wigner_3j
from hypothesis import given, settings
from hypothesis import strategies as st

from ase_symcalc.nn.angular import edge_harmonics
from ase_symcalc.nn.product import contract
from ase_symcalc.nn.product_table import ProductTable

CHANNELS = 3
NATURAL = Irreps("0e+1o+2e")
BOTH_PARITIES = Irreps("0e+1o+1e")


def problem(table, n=4, n_elements=3):
    torch.manual_seed(0)
    features = torch.randn(n, table.irreps_in.dim * CHANNELS, dtype=torch.float64)
    weights = torch.randn(n_elements, table.n_paths, CHANNELS, dtype=torch.float64)
    return features, weights, torch.tensor([2, 0, 0, 2])[:n]


def rotate(features, irreps, rotation, inversion):
    """Turn channel-last features; e3nn's own matrices are exact to six digits only."""
    directions = torch.nn.functional.normalize(torch.randn(40, 3, dtype=torch.float64), dim=1)
    out, a = [], features.view(-1, irreps.dim, CHANNELS)
    for (_, ir), part in zip(irreps, irreps.slices(), strict=True):
        before, after = (
            edge_harmonics(n, ir.l)[:, ir.l**2 :] for n in (directions, directions @ rotation.T)
        )
        matrix = torch.linalg.lstsq(before, after).solution
        out.append(torch.einsum("amk,mn->ank", a[:, part], matrix) * (ir.p if inversion else 1))
    return torch.cat(out, dim=1).flatten(1)


@pytest.mark.parametrize("inversion", [False, True], ids=["rotation", "mirror image"])
@pytest.mark.parametrize(
    ("irreps_in", "irreps_out"),
    [(NATURAL, NATURAL), (BOTH_PARITIES, Irreps("0e+0o+1e+2o")), (Irreps("0e+3o"), Irreps("2e"))],
)
def test_polynomials_turn_with_their_factors(irreps_in, irreps_out, inversion):
    table = ProductTable.build(irreps_in, irreps_out, 3)
    features, weights, species = problem(table)
    rotation, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))
    rotation *= torch.linalg.det(rotation)
    before = rotate(contract(table, features, weights, species), irreps_out, rotation, inversion)
    after = contract(table, rotate(features, irreps_in, rotation, inversion), weights, species)
    torch.testing.assert_close(after, before, rtol=1e-10, atol=1e-10)


@settings(max_examples=10)
@given(st.sampled_from([NATURAL, BOTH_PARITIES, Irreps("1o")]), st.integers(1, 3))
def test_contraction_is_the_sum_over_terms(irreps, correlation):
    table = ProductTable.build(irreps, irreps, correlation)
    features, weights, species = problem(table)
    a = features.view(-1, irreps.dim, CHANNELS)
    expected = torch.zeros_like(a)
    for output, terms in enumerate(table.terms):
        for path, factors, coefficient in terms:
            product = torch.stack([a[:, m] for m in factors]).prod(0)
            expected[:, output] += coefficient * weights[species, path] * product
    out = contract(table, features, weights, species)
    torch.testing.assert_close(out, expected.flatten(1), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("irreps", ["0e+1o", "0e+1o+2e", "1o+1e"])
@pytest.mark.parametrize(("degree", "formula"), [(2, "ij=ji"), (3, "ijk=jik=ikj")])
def test_there_are_as_many_polynomials_as_symmetric_tensors(irreps, degree, formula):
    all_of_them = ReducedTensorProducts(formula, i=irreps).irreps_out
    outputs = Irreps([(1, ir) for ir in sorted({ir for _, ir in all_of_them})])
    table = ProductTable.build(Irreps(irreps), outputs, degree)
    for number, (_, ir) in enumerate(outputs):
        found = [path for path in table.paths if (path.irrep, path.degree) == (number, degree)]
        assert len(found) == all_of_them.count(ir)


def test_factors_rise_and_paths_are_sorted():
    table = ProductTable.build(NATURAL, NATURAL, 3)
    assert list(table.paths) == sorted(table.paths)
    for terms in table.terms:
        assert all(list(term.factors) == sorted(term.factors) for term in terms)


def dense(table, irrep, degree):
    """The polynomials of one output and degree, as symmetric tensors."""
    part = table.irreps_out.slices()[irrep]
    out = torch.zeros(
        part.stop - part.start,
        *[table.irreps_in.dim] * degree,
        table.n_paths,
        dtype=torch.float64,
    )
    for m, terms in enumerate(table.terms[part]):
        for path, factors, coefficient in terms:
            if len(factors) == degree:
                arrangements = set(itertools.permutations(factors))
                for order in arrangements:
                    out[(m, *order, path)] += coefficient / len(arrangements)
    return out


@pytest.mark.parametrize("degree", [1, 2, 3])
@pytest.mark.parametrize("irrep", [0, 1, 2])
def test_polynomials_are_orthonormal(irrep, degree):
    table = ProductTable.build(NATURAL, NATURAL, 3)
    tensors = dense(table, irrep, degree)
    here = [n for n, p in enumerate(table.paths) if (p.irrep, p.degree) == (irrep, degree)]
    for component in tensors[..., here].flatten(1, -2):
        torch.testing.assert_close(
            component.T @ component, torch.eye(len(here), dtype=torch.float64)
        )


def test_foreign_polynomials_are_expanded():
    irreps = Irreps("0e+1o+2e")
    table = ProductTable.build(irreps, Irreps("0e+1o"), 3)
    chain = torch.zeros(3, 9, 9, 9, 2, dtype=torch.float64)
    one, two = slice(1, 4), slice(4, 9)
    first = wigner_3j(1, 2, 1, dtype=torch.float64)
    chain[:, one, two, two, 0] = torch.einsum("abq,qcm->mabc", first, first.clone())
    chain[:, two, one, 0, 1] = wigner_3j(2, 1, 1, dtype=torch.float64).permute(2, 0, 1)
    coordinates = table.expand(1, 3, chain)
    rebuilt = dense(table, 1, 3) @ coordinates
    orders = list(itertools.permutations((1, 2, 3)))
    symmetric = sum(chain.permute(0, *order, 4) for order in orders) / len(orders)
    torch.testing.assert_close(rebuilt, symmetric)


def test_polynomials_that_do_not_turn_are_refused():
    table = ProductTable.build(NATURAL, NATURAL, 2)
    with pytest.raises(ValueError, match="degree 2 that do not turn"):
        table.expand(0, 2, torch.randn(1, 9, 9, 1, dtype=torch.float64))


def test_first_and_second_derivatives_agree_with_differences():
    table = ProductTable.build(Irreps("0e+1o"), Irreps("0e+1o"), 3)
    features, weights, species = problem(table, n=2, n_elements=2)
    species = torch.tensor([1, 0])
    features.requires_grad_()
    weights.requires_grad_()

    def f(x, w):
        return contract(table, x, w, species)

    assert torch.autograd.gradcheck(f, (features, weights))
    assert torch.autograd.gradgradcheck(f, (features, weights))


def test_elements_that_are_absent_are_not_touched():
    table = ProductTable.build(NATURAL, Irreps("0e"), 3)
    features, weights, species = problem(table)
    weights[1] = torch.nan
    assert contract(table, features, weights, species).isfinite().all()


def test_no_atoms_are_fine():
    table = ProductTable.build(NATURAL, NATURAL, 2)
    features, weights, species = problem(table, n=0)
    assert contract(table, features, weights, species).shape == (0, 9 * CHANNELS)


@pytest.mark.parametrize("correlation", [0, 4])
def test_other_degrees_are_refused(correlation):
    with pytest.raises(ValueError, match="1, 2 or 3"):
        ProductTable.build(NATURAL, NATURAL, correlation)


def test_irreps_in_two_places_are_refused():
    with pytest.raises(ValueError, match="each irrep once"):
        ProductTable.build(Irreps("0e+1o+0e"), NATURAL, 2)


def test_tables_of_the_same_irreps_are_equal():
    tables = [ProductTable.build(Irreps(f"{n}x0e+{n}x1o"), Irreps("0e"), 2) for n in (1, 8)]
    assert tables[0] == tables[1]
    assert hash(tables[0]) == hash(tables[1])
