"""Picture of the vibrations of a molecule."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ase_symcalc.apps.relax_plot import BLUE, ORANGE
from ase_symcalc.apps.vibrations import VibrationResult


def plot_vibrations(result: VibrationResult, path: str | Path, *, title: str = "") -> None:
    """Draw a line at every wavenumber, as high as each element takes part in the motion.

    Parameters
    ----------
    result : VibrationResult
    path : path
        Ends in one of `relax_plot.PICTURES`, which says its format.
    title : str
    """
    elements = sorted(set(result.atoms.symbols))
    masses = result.atoms.get_masses()
    kinetic = (masses[None, :, None] * result.modes**2).sum(2)
    kinetic /= kinetic.sum(1, keepdims=True)
    figure = Figure(figsize=(7, 1.2 + 1.1 * len(elements)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = np.atleast_1d(figure.subplots(len(elements), 1, sharex=True))
    figure.suptitle(title, fontsize="medium")
    colours = np.where(result.wavenumbers < 0, ORANGE, BLUE)
    for axes, element in zip(panels, elements, strict=True):
        share = kinetic[:, result.atoms.symbols == element].sum(1)
        axes.vlines(result.wavenumbers, 0, share, colors=colours, linewidth=1.5)
        axes.set_ylim(0, 1.05)
        axes.set_ylabel(element)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_title("share of each element in the kinetic energy", fontsize="small")
    lowest, highest = result.wavenumbers.min(), result.wavenumbers.max()
    panels[-1].set_xlim(min(1.05 * lowest, 0), max(1.05 * highest, 1))
    note = "; imaginary ones to the left of 0" if lowest < 0 else ""
    panels[-1].set_xlabel(f"wavenumber (cm⁻¹{note})")
    figure.savefig(path, dpi=150)
