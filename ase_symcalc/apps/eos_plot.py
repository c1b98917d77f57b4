"""Picture of an equation of state."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ase_symcalc.apps.eos import EosResult
from ase_symcalc.apps.eos_fit import EosFit
from ase_symcalc.apps.relax_plot import BLUE, GREEN, ORANGE

COLOURS = {"Birch-Murnaghan": BLUE, "Vinet": ORANGE}


def plot_eos(result: EosResult, path: str | Path, *, title: str = "") -> None:
    """Draw energies and curves against the volume, and how far they are apart, into a file.

    Parameters
    ----------
    result : EosResult
    path : path
        Ends in one of `relax_plot.PICTURES`, which says its format.
    title : str
    """
    n_atoms, best = len(result.atoms), result.best
    figure = Figure(figsize=(6.4, 5.2), layout="constrained")
    FigureCanvasAgg(figure)
    energy, rest = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1.2))
    figure.suptitle(title, fontsize="medium")
    fine = np.linspace(result.volumes[0], result.volumes[-1], 300)
    for fit in result.fits:
        per_atom = 1e3 * (fit.energies(fine) - best.energy) / n_atoms
        dashes = "-" if fit is best else "--"
        colour = COLOURS[fit.name]
        energy.plot(fine / n_atoms, per_atom, color=colour, linestyle=dashes, label=_legend(fit))
        off = 1e3 * (result.energies - fit.energies(result.volumes)) / n_atoms
        rest.plot(result.volumes / n_atoms, off, color=colour, marker="o", markersize=3, lw=1)
    computed = 1e3 * (result.energies - best.energy) / n_atoms
    energy.plot(result.volumes / n_atoms, computed, "o", color="0.2", markersize=4, zorder=3)
    energy.axvline(best.volume / n_atoms, color=GREEN, linewidth=1, linestyle=":")
    energy.set_ylabel("energy above E0\n(meV/atom)")
    energy.legend(edgecolor="none", framealpha=1, fontsize="small", loc="upper center")
    rest.set_ylabel("computed - curve\n(meV/atom)")
    rest.set_xlabel("volume per atom (Å³)")
    rest.axhline(0, color="0.6", linewidth=1)
    for axes in (energy, rest):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="0.92")
        axes.set_axisbelow(True)
    figure.savefig(path, dpi=150)


def _legend(fit: EosFit) -> str:
    return f"{fit.name}: B0 = {fit.bulk_modulus:.1f} GPa, B0' = {fit.derivative:.2f}"
