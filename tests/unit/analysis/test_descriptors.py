"""Descriptors of a density: invariant where they must be, and signed under mirrors."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from e3nn.o3 import spherical_harmonics
from scipy.linalg import block_diag
from scipy.spatial.transform import Rotation

from ase_symcalc.analysis import (
    Bispectrum,
    DensityCoefficients,
    GaussianBasis,
    NetworkFeatures,
    PowerSpectrum,
    bispectrum,
    project,
)
from ase_symcalc.analysis.spectra import bispectrum_size
from ase_symcalc.errors import InputError, UnsupportedElementError
from ase_symcalc.nn.angular import edge_harmonics
from ase_symcalc.structures import build_graph
from tests.tolerances import DERIVATIVE, TIGHT
from tests.zoo import zoo

SMALL = GaussianBasis(4.2, 2, 3, 0.5)
INVARIANT = (PowerSpectrum, Bispectrum)


def alloy():
    return zoo()["nimo_rocksalt"]


def turned(atoms, matrix):
    other = atoms.copy()
    other.set_cell(atoms.cell.array @ matrix.T)
    other.positions = atoms.positions @ matrix.T
    return other


ROTATION = Rotation.from_euler("zyx", [0.4, 1.1, -2.0]).as_matrix()


def even_and_odd(atoms, basis=SMALL):
    elements = tuple(sorted(set(atoms.symbols)))
    rows = Bispectrum(elements, basis)(atoms)
    n_even, n_odd = bispectrum_size(len(elements) * basis.n_max, basis.lmax)
    assert rows.shape[1] == n_even + n_odd
    return rows[:, :n_even], rows[:, n_even:]


def orbitals(basis, l, r):
    """Values of the orbitals of one degree: (n_max, *r.shape)."""
    exponents, scales, beta = basis.coefficients
    norms = scales[l] ** (l + 1.5)
    terms = r**l * np.exp(-np.multiply.outer(exponents[l], r * r))
    terms *= norms.reshape(-1, *[1] * r.ndim)
    return np.tensordot(beta[l], terms, axes=1)


def test_radial_functions_are_orthonormal():
    basis = GaussianBasis(5.0, 4, 3)
    r = np.linspace(0, 20, 4001)
    for l in (0, 3):
        values = orbitals(basis, l, r) * r
        np.testing.assert_allclose(values @ values.T * r[1], np.eye(4), atol=1e-7)


def test_coefficients_are_the_integral_of_the_density():
    """For an atom on the pole the integral over angles is that of a Legendre polynomial."""
    basis = GaussianBasis(5.0, 2, 2, 0.6)
    nodes, weights = np.polynomial.legendre.leggauss(80)
    r, t = 6 * (nodes[:, None] + 1), nodes
    gauss = np.exp(-(r * r + 2.1**2 - 2 * r * 2.1 * t) / (2 * 0.6**2))
    values = orbitals(basis, 2, r) * gauss * (1.5 * t * t - 0.5) * 2 * np.pi * r * r
    weight = ((1 - 2.1 / 5) ** 2 * (1 + 2 * 2.1 / 5)) ** 2
    expected = weight * np.einsum("nrt,r,t->n", values, 6 * weights, weights)
    found = basis(torch.tensor([2.1], dtype=torch.float64), 2)[0].numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_harmonics_go_on_beyond_those_of_e3nn():
    generator = torch.Generator().manual_seed(1)
    n = torch.nn.functional.normalize(
        torch.randn(5, 3, generator=generator, dtype=torch.float64), dim=1
    )
    ours = edge_harmonics(n, 16)
    theirs = spherical_harmonics(list(range(12)), n, True, normalization="component")
    assert (ours[:, : 12**2] - theirs).abs().max() < TIGHT
    last = ours[:, 16**2 :]
    legendre = torch.special.legendre_polynomial_p(n @ n.T, 16)
    assert (last @ last.T / 33 - legendre).abs().max() < TIGHT


def assert_invariant(descriptor, atoms):
    rows = descriptor(atoms)
    assert abs(descriptor(turned(atoms, ROTATION)) - rows).max() < TIGHT
    shuffled = np.random.default_rng(1).permutation(len(atoms))
    assert abs(descriptor(atoms[shuffled]) - rows[shuffled]).max() < TIGHT
    moved = atoms.copy()
    moved.positions += [1.3, -7.0, 22.0]
    moved.wrap()
    assert abs(descriptor(moved) - rows).max() < TIGHT
    double = descriptor(atoms * (1, 2, 1))
    assert abs(double - np.tile(rows, (2, 1))).max() < TIGHT
    other_cell = atoms.copy()
    other_cell.set_cell(np.array([[1, 0, 0], [4, 1, 0], [-3, 5, 1]]) @ atoms.cell.array)
    assert abs(descriptor(other_cell) - rows).max() < TIGHT


@pytest.mark.parametrize("kind", INVARIANT)
def test_neither_rotation_nor_order_nor_cell_matters(kind):
    atoms = alloy()
    descriptor = kind(("Ni", "Mo"), SMALL)
    assert descriptor(atoms).shape == (len(atoms), descriptor.n_features)
    assert_invariant(descriptor, atoms)


def test_nor_do_they_to_a_network(calc):
    atoms = alloy()
    assert_invariant(NetworkFeatures(calc), atoms)
    mirrored = turned(atoms, np.diag([1.0, -1.0, 1.0]))
    assert abs(NetworkFeatures(calc)(mirrored) - NetworkFeatures(calc)(atoms)).max() < TIGHT


def rotation_of_harmonics(matrix, lmax):
    """The matrices D of Y(Rn) = D Y(n), degree by degree, from many directions n."""
    n = np.random.default_rng(3).normal(size=(80, 3))
    n /= np.linalg.norm(n, axis=1, keepdims=True)
    before, after = (edge_harmonics(torch.from_numpy(v), lmax).numpy() for v in (n, n @ matrix.T))
    parts = [slice(l * l, (l + 1) ** 2) for l in range(lmax + 1)]
    return [np.linalg.lstsq(before[:, p], after[:, p])[0].T for p in parts]


def test_coefficients_turn_as_their_irreps_say():
    atoms = alloy()
    descriptor = DensityCoefficients(("Ni", "Mo"), SMALL)
    rows, turned_rows = descriptor(atoms), descriptor(turned(atoms, -ROTATION))
    assert turned_rows.shape[1] == descriptor.irreps.dim == descriptor.n_features
    matrices = rotation_of_harmonics(-ROTATION, SMALL.lmax)
    exact = [np.kron(np.eye(i.mul), matrices[i.ir.l]) for i in descriptor.irreps]
    assert abs(turned_rows - rows @ block_diag(*exact).T).max() < TIGHT
    theirs = descriptor.irreps.D_from_matrix(torch.tensor(-ROTATION)).numpy()
    assert abs(theirs - block_diag(*exact)).max() < 2e-6  # e3nn's angles are float32


def test_mirror_image_agrees_in_the_even_part_and_differs_in_the_odd_one():
    atoms = zoo()["ge_chiral"]
    mirrored = turned(atoms, np.diag([1.0, 1.0, -1.0]))
    basis = GaussianBasis(5.0, 3, 4)
    even, odd = even_and_odd(atoms, basis)
    mirrored_even, mirrored_odd = even_and_odd(mirrored, basis)
    assert abs(mirrored_even - even).max() < TIGHT
    assert abs(mirrored_odd + odd).max() < TIGHT
    assert abs(odd).max() > 1e-4
    spectrum = PowerSpectrum(("Ge",), SMALL)
    assert abs(spectrum(mirrored) - spectrum(atoms)).max() < TIGHT


def test_odd_part_vanishes_where_the_site_has_a_mirror():
    assert abs(even_and_odd(bulk("Si"))[1]).max() < TIGHT


def test_triples_left_out_vanish_or_are_there_already():
    """The norm of all triples is that of those kept, each counted as often as it occurs."""
    graph = build_graph(zoo()["ge_chiral"], SMALL.cutoff)
    density = project(graph, ("Ge",), SMALL)[:3]
    even, odd = bispectrum(density)
    assert even.shape[1] + odd.shape[1] == sum(bispectrum_size(2, 2))
    assert (odd.abs().max(dim=0).values > 1e-12).any()
    # exchanging two channels of one degree gives nothing new
    swapped = bispectrum([c.flip(1) for c in density])
    assert torch.allclose(swapped[0].sort(dim=1).values.sum(), even.sum())


@pytest.mark.parametrize("kind", INVARIANT)
@pytest.mark.parametrize("normalised", [True, False])
def test_gradients_by_positions_and_cell_are_exact(kind, normalised):
    atoms = zoo()["ge_chiral"]
    atoms.rattle(0.1, seed=2)
    descriptor = kind(("Ge",), GaussianBasis(4.0, 2, 2), normalised)
    graph = build_graph(atoms, 4.0)
    weights = torch.randn(3, 200, generator=torch.Generator().manual_seed(3), dtype=torch.float64)

    def value():
        rows = descriptor.features(graph)
        return (rows * weights[:, : rows.shape[1]]).sum()

    for variable in (graph.positions, graph.cell):
        variable.requires_grad_()
        (gradient,) = torch.autograd.grad(value(), variable)
        variable.requires_grad_(False)
        flat, numerical = variable.view(-1), []
        for i in range(len(flat)):
            ends = []
            for step in (1e-4, -2e-4):
                flat[i] += step
                ends.append(float(value()))
            flat[i] += 1e-4
            numerical.append((ends[0] - ends[1]) / 2e-4)
        difference = abs(gradient.reshape(-1).numpy() - numerical).max()
        assert difference < DERIVATIVE * abs(np.array(numerical)).max()


def test_atom_without_neighbours_has_zeros_and_a_finite_gradient():
    graph = build_graph(Atoms("Cu2", [(0, 0, 0), (30, 0, 0)]), SMALL.cutoff)
    graph.positions.requires_grad_()
    rows = PowerSpectrum(("Cu",), SMALL).features(graph)
    rows.sum().backward()
    assert (rows == 0).all()
    assert graph.positions.grad is None or bool(graph.positions.grad.isfinite().all())


def test_many_structures_are_as_one_by_one():
    structures = [zoo()[name] for name in ("ni_slab", "cu_wire", "nimo_rocksalt", "mo_isolated")]
    descriptor = PowerSpectrum(("Ni", "Cu", "Mo"), SMALL)
    together = descriptor(structures)
    for rows, atoms in zip(together, structures, strict=True):
        assert abs(rows - descriptor(atoms)).max() < TIGHT
    assert descriptor([]) == []


def test_network_speaks_the_same_way(calc, silicon):
    for invariant in (True, False):
        descriptor = NetworkFeatures(calc, invariant)
        rows = descriptor(silicon)
        assert rows.shape[0] == len(silicon)
        np.testing.assert_array_equal(descriptor([silicon, silicon])[1], rows)
    assert descriptor(silicon).shape[1] >= NetworkFeatures(calc)(silicon).shape[1]


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"cutoff": 0.5}, "a cutoff above 1 Å"),
        ({"n_max": 0}, "at least one radial function"),
        ({"sigma": 0.0}, "a width above"),
        ({"n_max": 40}, "too alike"),
        ({"lmax": 10**9}, "lmax=1000000000 needs .* GB of memory"),
    ],
)
def test_basis_without_meaning_is_refused(numbers, message):
    with pytest.raises(InputError, match=message):
        GaussianBasis(**numbers)


def test_what_cannot_be_described_is_refused():
    with pytest.raises(UnsupportedElementError, match="not among Ni"):
        PowerSpectrum(("Ni",), SMALL)(alloy())
    for elements in (("Ni", "Ni"), ("Xx1",), ()):
        with pytest.raises(InputError, match="different chemical symbols"):
            PowerSpectrum(elements)
    with pytest.raises(InputError, match="no atoms"):
        PowerSpectrum(("Ni",), SMALL)(Atoms())
    with pytest.raises(InputError, match="expected the same"):
        project(build_graph(alloy(), 3.0), ("Ni", "Mo"), SMALL)


def test_lmax_too_large_for_memory_is_refused_with_the_figure():
    crystal = bulk("Si")
    with pytest.raises(InputError, match=r"lmax=16\) needs .* GB of memory"):
        Bispectrum(("Si", "Ge", "C"), GaussianBasis(4.0, 8, 16))(crystal * (4, 4, 4))
    with pytest.raises(InputError, match=r"lmax=2000 needs .* GB of memory"):
        project(build_graph(crystal * (3, 3, 3), 4.0), ("Si",), GaussianBasis(4.0, 1, 2000))
