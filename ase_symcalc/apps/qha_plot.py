"""Picture of a crystal that expands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase import units
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ase_symcalc.apps.qha import QuasiHarmonicResult
from ase_symcalc.apps.relax_plot import BLUE, GREEN, ORANGE

CURVES = 6

J_PER_MOL = units.mol / units.J


def plot_qha(result: QuasiHarmonicResult, path: str | Path, *, title: str = "") -> None:
    """Draw free energies, what follows from their minima, and Grüneisen parameters into a file.

    Parameters
    ----------
    result : QuasiHarmonicResult
    path : path
        Ends in one of `relax_plot.PICTURES`, which says its format.
    title : str
    """
    figure = Figure(figsize=(10, 6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 3).ravel()
    figure.suptitle(title, fontsize="medium")
    _draw_free_energies(panels[0], result)
    expansion = 1e6 / 3 * result.thermal_expansion
    for axes, values, label in (
        (panels[1], expansion, "linear expansion (10⁻⁶/K)"),
        (panels[2], result.volume, "volume (Å³/atom)"),
        (panels[3], result.bulk_modulus, "bulk modulus (GPa)"),
        (panels[4], J_PER_MOL * result.heat_capacity, "$C_p$ (J/K per mol of atoms)"),
    ):
        axes.plot(result.temperatures, values, color=BLUE, linewidth=1.5)
        axes.set_xlabel("temperature (K)")
        axes.set_ylabel(label)
    _draw_modes(panels[5], result)
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="0.92")
        axes.set_axisbelow(True)
    figure.savefig(path, dpi=150)


def _draw_free_energies(axes: Axes, result: QuasiHarmonicResult) -> None:
    volumes = result.volumes[result.stable]
    shown = np.unique(np.linspace(0, len(result.temperatures) - 1, CURVES).astype(int))
    for at in shown:
        energies = 1000 * (result.free_energies[at] - result.gibbs_energy[0])
        axes.plot(volumes, energies, "o-", color=BLUE, linewidth=0.8, markersize=2.5)
        axes.annotate(
            f"{result.temperatures[at]:g} K",
            (volumes[-1], energies[-1]),
            xytext=(3, 0),
            textcoords="offset points",
            fontsize="x-small",
            va="center",
        )
    least = 1000 * (result.gibbs_energy - result.gibbs_energy[0])
    axes.plot(result.volume, least, color=ORANGE, linewidth=1.5)
    axes.margins(x=0.15)
    axes.set_xlabel("volume (Å³/atom)")
    axes.set_ylabel("free energy (meV/atom)")


def _draw_modes(axes: Axes, result: QuasiHarmonicResult) -> None:
    modes = result.modes
    axes.plot(modes.frequencies.ravel(), modes.parameters.ravel(), ".", color=GREEN, markersize=2)
    axes.axhline(0, color="0.4", linewidth=0.8)
    axes.set_xlabel("frequency (THz)")
    axes.set_ylabel("Grüneisen parameter of a mode")
