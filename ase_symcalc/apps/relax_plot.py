"""Picture of a relaxation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ase_symcalc.apps.relax import RelaxResult

MOST_MARKERS = 60

PICTURES = (".png", ".pdf", ".svg")

BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"  # told apart by colour-blind eyes too


def plot_relaxation(result: RelaxResult, path: str | Path, *, title: str = "") -> None:
    """Draw energy, largest force and largest stress of every step into a file.

    Parameters
    ----------
    result : RelaxResult
    path : path
        Ends in one of `PICTURES`, which says its format.
    title : str
    """
    rows = 2 if result.max_stress is None else 3
    figure = Figure(figsize=(6.4, 0.9 + 1.7 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    energy, force, *stress = figure.subplots(rows, 1, sharex=True)
    figure.suptitle(title, fontsize="medium")

    per_atom = 1e3 * (result.energies - result.energies[-1]) / len(result.atoms)
    _draw(energy, per_atom, BLUE, "energy above the last\n(meV/atom)")
    _draw_falling(force, result.fmax, ORANGE, "largest force\n(eV/Å)", result.target_fmax)
    force.axhline(result.target_fmax, color="0.4", linewidth=1, linestyle="--")
    force.annotate(
        f"fmax = {result.target_fmax:g}",
        (0, result.target_fmax),
        xycoords=force.get_yaxis_transform(),
        xytext=(4, 3),
        textcoords="offset points",
        color="0.4",
        fontsize="small",
    )
    if result.max_stress is not None:
        _draw_falling(stress[0], result.max_stress, GREEN, "largest stress\n(GPa)", 0.1)
    bottom = [energy, force, *stress][-1]
    bottom.set_xlabel("step")
    bottom.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.savefig(path, dpi=150)


def _draw(axes: Axes, values: Sequence[float] | np.ndarray, colour: str, label: str) -> None:
    marker = "o" if len(values) <= MOST_MARKERS else None
    axes.plot(values, color=colour, linewidth=1.5, marker=marker, markersize=3)
    axes.set_ylabel(label)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="0.92")
    axes.set_axisbelow(True)


def _draw_falling(axes: Axes, values: np.ndarray, colour: str, label: str, target: float) -> None:
    """Draw on a log scale with a floor, where the rounding errors of a perfect crystal end up."""
    floor = target / 1e3
    _draw(axes, np.maximum(values, floor), colour, label)
    axes.set_yscale("log")
