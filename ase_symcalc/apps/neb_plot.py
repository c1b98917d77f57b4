"""Picture of a path."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ase_symcalc.apps.neb_result import NebResult
from ase_symcalc.apps.relax_plot import BLUE, ORANGE

ROOM = 0.25
"""Above the barrier, as part of it, for the words."""


def plot_path(result: NebResult, path: str | Path, *, title: str = "") -> None:
    """Draw energy along the path, images and interpolation, into a file.

    Parameters
    ----------
    result : NebResult
    path : path
        The ending says the format: .png, .pdf, .svg.
    title : str
    """
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    figure.suptitle(title, fontsize="medium")
    above = result.energies - result.energies[0]
    axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    axes.plot(result.fitted_path, result.fitted_energies, color=BLUE, linewidth=1.5)
    axes.plot(result.path, above, "o", color=BLUE, markersize=5, clip_on=False)
    _mark_barrier(axes, result)
    low, high = min(0.0, result.fitted_energies.min()), result.fitted_energies.max()
    axes.set_ylim(low - 0.05 * (high - low), high + ROOM * (high - low))
    axes.set_xlabel("length of the path (Å, all atoms together)")
    axes.set_ylabel("energy above the first image (eV)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def _mark_barrier(axes: Axes, result: NebResult) -> None:
    top = (result.saddle_path, result.barrier_forward)
    marker = "D" if result.climbed else "x"
    axes.plot(*top, marker, color=ORANGE, markersize=7)
    words = f"forward {result.barrier_forward:.3f} eV\nbackward {result.barrier_backward:.3f} eV"
    if not result.converged:
        words += "\nnot converged"
    axes.annotate(words, top, xytext=(0, 8), textcoords="offset points", ha="center", color=ORANGE)
