"""The power spectrum is that of dscribe on the same radial functions."""

import json
import math
from pathlib import Path

import numpy as np
from ase import Atoms

from ase_symcalc.analysis import GaussianBasis, PowerSpectrum


def test_power_spectrum_is_that_of_dscribe():
    text = Path(__file__).with_name("reference.json").read_text(encoding="utf-8")
    reference = json.loads(text)
    atoms = Atoms(reference["symbols"], reference["positions"], cell=reference["cell"], pbc=True)
    basis = GaussianBasis(*(reference[name] for name in ("cutoff", "n_max", "lmax", "sigma")))
    rows = PowerSpectrum(("Ni", "Mo"), basis, normalised=False)(atoms)[[0, 2]]
    expected = gram(np.array(reference["rows"]), basis.n_max, basis.lmax)
    found = 8 * math.pi**2 * gram(rows, basis.n_max, basis.lmax)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def gram(rows, n_max, lmax):
    """Products of environments for each pair of elements and degree: nothing turns them."""
    upper = np.triu_indices(n_max)
    blocks, start = [], 0
    for same in (True, False, True):
        twice = np.where(upper[0] == upper[1], 1, 2) if same else np.ones(n_max**2)
        for _ in range(lmax + 1):
            block = rows[:, start : start + len(twice)]
            blocks.append(block * twice @ block.T)
            start += len(twice)
    assert start == rows.shape[1]
    return np.array(blocks)
