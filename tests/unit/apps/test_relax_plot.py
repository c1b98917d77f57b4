"""The picture of a relaxation."""

import numpy as np
import pytest
from ase.build import bulk
from matplotlib.image import imread

from ase_symcalc.apps import RelaxResult
from ase_symcalc.apps.relax_plot import PICTURES, plot_relaxation


def result(max_stress):
    steps = np.arange(5)
    return RelaxResult(
        atoms=bulk("Cu"),
        converged=True,
        steps=4,
        target_fmax=0.01,
        energies=-3.0 + np.exp(-steps),
        fmax=np.exp(-3.0 * steps),
        max_stress=max_stress,
        initial=None,
        final=None,
    )


def test_picture_has_a_panel_more_with_stress(tmp_path):
    plot_relaxation(result(np.exp(-np.arange(5.0))), tmp_path / "with.png", title="copper")
    plot_relaxation(result(None), tmp_path / "without.png")
    tall, short = (imread(tmp_path / name) for name in ("with.png", "without.png"))
    assert tall.shape[0] > short.shape[0]
    assert tall.std() > 0.05


@pytest.mark.parametrize("ending", PICTURES)
def test_ending_says_the_format(tmp_path, ending):
    path = tmp_path / f"relax{ending}"
    plot_relaxation(result(np.zeros(5)), path)  # zeros have no logarithm
    assert path.stat().st_size > 1000
