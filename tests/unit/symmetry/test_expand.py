import numpy as np
import pytest
import torch
from e3nn import o3

from ase_symcalc.nn.layout import from_e3nn, to_e3nn
from ase_symcalc.symmetry.expand import RotatedImages, Rotations, wigner_matrices


@pytest.fixture
def rotations():
    """Three of any kind, and some that angles describe badly; mirror images of all."""
    torch.manual_seed(0)
    random = o3.rand_matrix(3, dtype=torch.float64)
    quarter = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]], dtype=torch.float64)
    about_y = o3.matrix_y(torch.tensor(0.3, dtype=torch.float64))
    proper = torch.cat(
        [random, torch.eye(3, dtype=torch.float64)[None], quarter[None], about_y[None]]
    )
    return torch.cat([proper, -proper])


@pytest.mark.parametrize("l", range(5))
@pytest.mark.parametrize("p", [1, -1])
def test_wigner_matrices_are_those_of_e3nn(rotations, l, p):
    expected = torch.stack([o3.Irrep(l, p).D_from_matrix(r) for r in rotations])
    # e3nn goes through angles, good to half of the digits at the poles
    torch.testing.assert_close(wigner_matrices(rotations, l, p), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("l", range(5))
@pytest.mark.parametrize("p", [1, -1])
def test_wigner_matrices_represent_and_are_orthogonal(rotations, l, p):
    d = wigner_matrices(rotations, l, p)
    products = wigner_matrices(rotations @ rotations[0], l, p)
    torch.testing.assert_close(d @ d[0], products, rtol=0, atol=1e-13)
    one = torch.eye(2 * l + 1, dtype=torch.float64).expand_as(d)
    torch.testing.assert_close(d @ d.mT, one, rtol=0, atol=1e-13)


@pytest.mark.parametrize("l", range(1, 5))
def test_harmonics_turn_with_them(rotations, l):
    n = torch.nn.functional.normalize(torch.randn(7, 3, dtype=torch.float64), dim=1)
    for r, d in zip(rotations, wigner_matrices(rotations, l, (-1) ** l), strict=True):
        turned = o3.spherical_harmonics(l, n @ r.T, normalize=False)
        expected = o3.spherical_harmonics(l, n, normalize=False) @ d.T
        torch.testing.assert_close(turned, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_images_are_rotated_copies_in_channel_last_layout(rotations, dtype):
    irreps = o3.Irreps("3x0e+2x0o+2x1o+1x1e+4x2e")
    features = torch.randn(2, irreps.dim, dtype=dtype)
    centre, operation = np.array([1, 0, 1]), np.array([2, 7, 9])
    expand = RotatedImages(centre, [(Rotations(rotations.numpy()), operation)])
    rows = expand(features, str(irreps))
    torch.testing.assert_close(rows[:2], features, rtol=0, atol=0)
    full = to_e3nn(features.double(), irreps)
    for row, c, k in zip(rows[2:], centre, operation, strict=True):
        matrix = torch.block_diag(
            *[
                wigner_matrices(rotations[k][None], ir.l, ir.p)[0]
                for mul, ir in irreps
                for _ in range(mul)
            ]
        )
        expected = from_e3nn((matrix @ full[c])[None], irreps)[0].to(dtype)
        torch.testing.assert_close(row, expected)


def test_rotations_of_several_structures_follow_each_other(rotations):
    one, two = Rotations(rotations[:2].numpy()), Rotations(rotations[2:].numpy())
    features = torch.randn(2, 6, dtype=torch.float64)
    parts = [(one, np.array([1])), (two, np.array([0, 3]))]
    together = RotatedImages(np.array([0, 1, 1]), parts)(features, "2x1o")
    whole = Rotations(rotations.numpy())
    expected = RotatedImages(np.array([0, 1, 1]), [(whole, np.array([1, 2, 5]))])
    torch.testing.assert_close(together, expected(features, "2x1o"))


def test_packed_matrices_say_what_the_expansion_does(rotations):
    one, two = Rotations(rotations[:2].numpy()), Rotations(rotations[2:].numpy())
    parts = [(one, np.array([1])), (two, np.array([0, 3]))]
    expand = RotatedImages(np.array([0, 1, 1]), parts)
    irreps = "2x0e+3x1o+1x1e+2x2e"
    features = torch.randn(2, 24, dtype=torch.float64)
    degrees = ((0, 1), (1, -1), (1, 1), (2, 1))
    centre, operation, matrices = expand.packed(degrees, np.float64)
    assert operation.tolist() == [1, 2, 5]
    expected, start, column = expand(features, irreps).numpy()[2:], 0, 0
    for mul, (l, _) in zip((2, 3, 1, 2), degrees, strict=True):
        dim, stop = 2 * l + 1, start + mul * (2 * l + 1)
        block = features.numpy()[centre, start:stop].reshape(3, dim, mul)
        turns = matrices[operation, column : column + dim**2].reshape(3, dim, dim)
        turned = (turns @ block).reshape(3, -1)
        np.testing.assert_allclose(turned, expected[:, start:stop], rtol=0, atol=1e-14)
        start, column = stop, column + dim**2
    assert expand.packed(degrees, np.float64)[2] is matrices
    assert expand.packed(degrees, np.float32)[2].dtype == np.float32
    assert one.wigner_array(2, 1) is one.wigner_array(2, 1)
    with pytest.raises(ValueError, match="read-only"):
        one.wigner_array(2, 1)[0] = 0
