"""Pictures of environments: their map, the structure in their colours, a signal, their course."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ase_symcalc.analysis.environments import Environments
from ase_symcalc.analysis.sphere import sphere_grid, sphere_signal

COLOURS = {  # told apart by colour-blind eyes too
    "fcc": "#009e73",
    "bcc": "#0072b2",
    "hcp": "#d55e00",
    "diamond": "#56b4e9",
    "liquid": "#cc79a7",
    "surface": "#e69f00",
    "other": "#bbbbbb",
}
GROUPS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c564b", "#7f7f7f")
NONE = "#bbbbbb"

POINTS = 48  # of latitude, on the sphere


def group_colour(group: int) -> str:
    """Colour of a group; -1 is none."""
    return NONE if group < 0 else GROUPS[min(group, len(GROUPS) - 1)]


def plot_environments(
    found: Environments, path: str | Path, *, atom: int = 0, title: str = ""
) -> None:
    """Draw the map, the last frame by group and by label, one atom's signal, and the course.

    Parameters
    ----------
    found : Environments
    path : path
        The ending says the format: .png, .pdf, .svg.
    atom : int
        Whose surroundings are drawn as a signal on the sphere.
    title : str
    """
    rows = 2 + (len(found.images) > 1)
    figure = Figure(figsize=(9, 4.0 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize="medium")
    grid = figure.add_gridspec(rows, 2)
    _draw_map(figure.add_subplot(grid[0, 0]), found)
    signal = figure.add_subplot(grid[0, 1], projection="3d")
    draw_signal(signal, found.images[-1], atom)
    by_group = [group_colour(g) for g in found.groups[-1].tolist()]
    by_label = [COLOURS[label] for label in found.labels[-1]]
    draw_atoms(figure.add_subplot(grid[1, 0]), found.images[-1], by_group, "by group")
    axes = figure.add_subplot(grid[1, 1])
    draw_atoms(axes, found.images[-1], by_label, "by nearest reference")
    _legend(axes, {n: COLOURS[n] for n in COLOURS if n in found.labels[-1]}, beside=True)
    if len(found.images) > 1:
        _draw_course(figure.add_subplot(grid[2, :]), found)
    figure.savefig(path, dpi=150)


def draw_atoms(axes: Axes, atoms: Atoms, colours: Sequence[str], title: str) -> None:
    """Draw a structure from the side, along y, with what is nearer on top.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    atoms : Atoms
    colours : sequence of str
        Of each atom.
    title : str
    """
    order = np.argsort(-atoms.positions[:, 1])
    x, _, z = atoms.positions[order].T
    extent = max(np.ptp(x), np.ptp(z), 1.0)
    size = (1100 / extent) ** 2 / 8
    size = float(np.clip(size, 4, 400))
    axes.scatter(x, z, s=size, c=[colours[i] for i in order], edgecolors="black", linewidths=0.4)
    axes.set_aspect("equal")
    edge = 0.08 * extent
    axes.set(xlim=(x.min() - edge, x.max() + edge), ylim=(z.min() - edge, z.max() + edge))
    axes.set(xlabel="x (Å)", ylabel="z (Å)")
    narrow = np.ptp(z) > 2 * np.ptp(x)  # more labels would touch
    axes.xaxis.set_major_locator(MaxNLocator(2 if narrow else 5, integer=True))
    axes.set_title(title, fontsize="small", color="0.35")


def draw_signal(axes: Any, atoms: Atoms, atom: int) -> None:
    """Draw one atom's signal on the sphere: far out and bright where neighbours are.

    Parameters
    ----------
    axes : mpl_toolkits.mplot3d.Axes3D
    atoms : Atoms
    atom : int
    """
    directions = sphere_grid(POINTS)
    values = sphere_signal(atoms, atom, directions.reshape(-1, 3)).reshape(directions.shape[:2])
    colours = ScalarMappable(Normalize(values.min(), values.max()), "cividis").to_rgba(values)
    x, y, z = np.moveaxis(directions * _radii(values)[..., None], 2, 0)
    axes.plot_surface(x, y, z, facecolors=colours, rstride=1, cstride=1, shade=False)
    axes.set_aspect("equal")
    axes.set_axis_off()
    symbol = atoms.get_chemical_symbols()[atom]
    axes.set_title(
        f"directions of the neighbours of {symbol} {atom}", fontsize="small", color="0.35"
    )


def _radii(values: Float64[np.ndarray, "n m"]) -> Float64[np.ndarray, "n m"]:
    spread = np.ptp(values)
    return (
        np.full_like(values, 0.7) if spread == 0 else 0.3 + 0.7 * (values - values.min()) / spread
    )


def _draw_map(axes: Axes, found: Environments) -> None:
    places, groups = found.map.reshape(-1, 2), found.groups.ravel()
    names = found.group_names()
    for group in range(found.n_groups - 1, -2, -1):  # large groups below small ones would hide
        x, y = places[groups == group].T
        if len(x):
            axes.scatter(x, y, s=22, color=group_colour(group), edgecolors="white", linewidths=0.3)
    shown = {f"{g + 1}: {names[g]}": group_colour(g) for g in range(min(found.n_groups, 8))}
    if (groups < 0).any():
        shown["none"] = NONE
    _legend(axes, shown)
    first, second = (f"{100 * part:.0f} %" for part in found.explained)
    axes.set(xlabel=f"first axis ({first})", ylabel=f"second axis ({second})")
    axes.xaxis.set_major_locator(MaxNLocator(5))  # more labels would touch
    axes.set_aspect("equal", adjustable="datalim")  # distances are those of the descriptors
    axes.set_title("map of the environments", fontsize="small", color="0.35")
    axes.spines[["top", "right"]].set_visible(False)


def _draw_course(axes: Axes, found: Environments) -> None:
    for name, values in found.fractions().items():
        axes.plot(values, color=COLOURS[name], label=name)
    axes.set(xlabel="frame", ylabel="part of the atoms", ylim=(-0.02, 1.02))
    axes.legend(frameon=False, fontsize="small", ncols=6, loc="upper center")
    axes.spines[["top", "right"]].set_visible(False)


def _legend(axes: Axes, colours: dict[str, str], *, beside: bool = False) -> None:
    handles = [
        Line2D([], [], linestyle="", marker="o", color=colour, label=name)
        for name, colour in colours.items()
    ]
    legend = axes.legend(handles=handles, frameon=False, fontsize="x-small")
    if beside:
        legend.set_loc("upper left")
        legend.set_bbox_to_anchor((1, 1), transform=axes.transAxes)
