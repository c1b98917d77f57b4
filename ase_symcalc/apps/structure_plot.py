"""Picture of a structure."""

from __future__ import annotations

from io import BytesIO
from itertools import product
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from ase.data.colors import jmol_colors
from ase.io.utils import make_patch_list
from ase.visualize.plot import Matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

VIEWS = {"from the side": "-20z,-78x", "from above": ""}

RADII = 0.5
"""Of the atoms, as part of their covalent radii: neighbours do not cover each other."""

AT_A_FACE = 0.2
"""Å from a face of the cell; such an atom is drawn on the opposite face too."""


def plot_structure(atoms: Atoms, path: str | Path | BytesIO) -> None:
    """Draw atoms and cell from two sides, with a legend of the elements, into a file.

    Parameters
    ----------
    atoms : Atoms
        Atoms on a face, an edge or a corner of the cell are drawn on all of them.
    path : path or BytesIO
        The ending says the format: .png, .pdf, .svg; without one it is PNG.
    """
    figure = Figure(figsize=(7.2, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    whole = _with_images(atoms)
    for axes, (name, rotation) in zip(figure.subplots(1, 2), VIEWS.items(), strict=True):
        view = Matplotlib(whole, axes, rotation=rotation, radii=RADII, show_unit_cell=2)
        # all in one go: one by one, as ASE adds them, a thousand atoms take ten times as long
        axes.add_collection(PatchCollection(make_patch_list(view), match_original=True))
        axes.set(xlim=(0, view.w), ylim=(0, view.h))
        axes.set_title(name, fontsize="small", color="0.35")
        axes.set_axis_off()
    _legend(figure, atoms)
    figure.savefig(path, dpi=200)


def _with_images(atoms: Atoms) -> Atoms:
    """Put the atoms inside the cell, and their images on its opposite faces."""
    inside = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    if atoms.cell.rank < 3:
        return inside
    margin = np.where(atoms.pbc, AT_A_FACE / atoms.cell.lengths(), 0)
    places = inside.get_scaled_positions(wrap=False)
    places = np.where(atoms.pbc, (places + margin) % 1 - margin, places)
    inside.set_scaled_positions(places)
    low = (places < margin) & atoms.pbc
    whole = inside.copy()
    for shift in list(product((0, 1), repeat=3))[1:]:
        images = inside[low[:, np.flatnonzero(shift)].all(axis=1)]
        images.positions += shift @ atoms.cell.array
        whole += images
    return whole


def _legend(figure: Figure, atoms: Atoms) -> None:
    counts = atoms.symbols.formula.count()
    handles = [
        Line2D(
            [],
            [],
            linestyle="",
            marker="o",
            markersize=9,
            markeredgecolor="black",
            markerfacecolor=jmol_colors[atomic_numbers[symbol]],
            label=f"{symbol} ({number})",
        )
        for symbol, number in counts.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=8, frameon=False)
