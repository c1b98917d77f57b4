"""Picture of elastic constants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ase_symcalc.apps.elastic import ElasticResult
from ase_symcalc.apps.elastic_tensor import young_along
from ase_symcalc.apps.relax_plot import BLUE, GREEN, ORANGE

PLANES = {"xy": (0, 1, BLUE), "xz": (0, 2, ORANGE), "yz": (1, 2, GREEN)}

VOIGT = ("xx", "yy", "zz", "yz", "xz", "xy")


def plot_elastic(result: ElasticResult, path: str | Path, *, title: str = "") -> None:
    """Draw the constants as a table in colours, and Young's modulus by direction, into a file.

    Parameters
    ----------
    result : ElasticResult
        Drawn along the Cartesian axes of the structure.
    path : path
        Ends in one of `relax_plot.PICTURES`, which says its format.
    title : str
    """
    figure = Figure(figsize=(9.6, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize="medium")
    grid = figure.add_gridspec(1, 2, width_ratios=(1.15, 1))
    _draw_table(figure.add_subplot(grid[0]), result)
    if result.moduli is None:
        empty = figure.add_subplot(grid[1])
        empty.set_axis_off()
        words = "not stable:\nno Young's modulus"
        empty.text(0.5, 0.5, words, ha="center", va="center", color="0.4")
    else:
        _draw_young(figure.add_subplot(grid[1], projection="polar"), result)
    figure.savefig(path, dpi=150)


def _draw_table(axes: Axes, result: ElasticResult) -> None:
    constants = result.constants
    largest = abs(constants).max()
    axes.imshow(constants, cmap="RdBu_r", vmin=-largest, vmax=largest)
    for row, column in np.ndindex(6, 6):
        value = constants[row, column]
        faint = abs(value) < 0.05
        colour = "0.7" if faint else "white" if abs(value) > 0.6 * largest else "0.15"
        text = "0" if faint else f"{value:.1f}"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize="small")
    axes.set_xticks(range(6), VOIGT)
    axes.set_yticks(range(6), VOIGT)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    ions = "clamped ions" if result.relaxed is None else "relaxed ions"
    axes.set_title(f"elastic constants (GPa), {ions}", fontsize="medium", pad=12)


def _draw_young(axes: Any, result: ElasticResult) -> None:
    angles = np.linspace(0, 2 * np.pi, 361)
    for name, (first, second, colour) in PLANES.items():
        directions = np.zeros((len(angles), 3))
        directions[:, first], directions[:, second] = np.cos(angles), np.sin(angles)
        values = young_along(result.constants, directions)
        style = ("-", "--", ":")[list(PLANES).index(name)]
        axes.plot(angles, values, color=colour, linestyle=style, label=f"{name} plane")
    axes.set_rlim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.set_rlabel_position(22.5)
    axes.tick_params(labelsize="small")
    axes.grid(color="0.88")
    words = "Young's modulus by direction (GPa),\nangles from the first axis of the plane"
    axes.set_title(words, fontsize="medium", pad=12)
    axes.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(0.93, 1.05))
