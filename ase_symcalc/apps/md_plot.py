"""Picture of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ase_symcalc.apps.md_result import MDResult
from ase_symcalc.apps.relax_plot import BLUE, GREEN, ORANGE
from ase_symcalc.apps.trajectories import Diffusion, RadialDistribution

COLOURS = (BLUE, ORANGE, GREEN, "#cc79a7", "#e69f00", "#56b4e9")


def plot_md(
    result: MDResult,
    path: str | Path,
    *,
    radial: RadialDistribution | None = None,
    spread: Sequence[Diffusion] = (),
    title: str = "",
) -> None:
    """Draw a run into a file: its course on the left, what the atoms do on the right.

    Parameters
    ----------
    result : MDResult
    path : path
        Ends in one of `relax_plot.PICTURES`, which says its format.
    radial : RadialDistribution, optional
    spread : sequence of Diffusion
    title : str
    """
    figure = Figure(figsize=(9.6, 7.2), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize="medium")
    left, right = figure.subplots(3, 2).T
    times = result.times / 1000
    _draw(left[0], times, result.temperatures, "temperature (K)", "time (ps)")
    _draw_energies(left[1], times, result)
    _draw_drift(left[2], times, result)
    _draw_radial(right[0], radial)
    _draw_spread(right[1], spread)
    _draw_pressure(right[2], times, result)
    figure.savefig(path, dpi=150)


def _draw_energies(axes: Axes, times: np.ndarray, result: MDResult) -> None:
    n_atoms = len(result.atoms)
    for values, colour, name in (
        (result.potential - result.potential[0], BLUE, "potential"),
        (result.kinetic, ORANGE, "kinetic"),
    ):
        axes.plot(times, 1000 * values / n_atoms, color=colour, linewidth=1, label=name)
    _dress(axes, "energy (meV/atom)", "time (ps)")
    axes.legend(frameon=False, fontsize="small")


def _draw_drift(axes: Axes, times: np.ndarray, result: MDResult) -> None:
    if result.conserved is None:
        _leave_out(axes, "Langevin dynamics conserves nothing")
        return
    drift = 1000 * (result.conserved - result.conserved[0]) / len(result.atoms)
    _draw(axes, times, drift, "drift of the conserved\nenergy (meV/atom)", "time (ps)")


def _draw_radial(axes: Axes, radial: RadialDistribution | None) -> None:
    if radial is None:
        _leave_out(axes, "no radial distribution: not periodic in 3D")
        return
    for (pair, values), colour in zip(radial.partial.items(), _colours(), strict=False):
        label = "-".join(pair)
        axes.plot(radial.distances, values, color=colour, linewidth=1.2, label=label)
    axes.axhline(1, color="0.6", linewidth=0.8, linestyle="--")
    _dress(axes, "radial distribution", "distance (Å)")
    axes.legend(frameon=False, fontsize="small")


def _draw_spread(axes: Axes, spread: Sequence[Diffusion]) -> None:
    if not spread:
        _leave_out(axes, "no mean-square displacement: too few frames")
        return
    for each, colour in zip(spread, _colours(), strict=False):
        axes.plot(each.lags, each.msd, color=colour, linewidth=1.2, label=each.element)
    axes.axvspan(*spread[0].window, color="0.94", zorder=0)
    _dress(axes, "mean-square\ndisplacement (Å²)", "lag (ps); shaded: fitted")
    axes.legend(frameon=False, fontsize="small")


def _draw_pressure(axes: Axes, times: np.ndarray, result: MDResult) -> None:
    volumes = result.volumes
    if volumes is not None and np.ptp(volumes) > 0:
        per_atom = volumes / len(result.atoms)
        _draw(axes, times, per_atom, "volume (Å³/atom)", "time (ps)")
    elif result.pressures is not None:
        _draw(axes, times, result.pressures, "pressure (GPa)", "time (ps)")
    else:
        _leave_out(axes, "no pressure")


def _draw(axes: Axes, x: np.ndarray, y: np.ndarray, label: str, below: str) -> None:
    axes.plot(x, y, color=BLUE, linewidth=1)
    _dress(axes, label, below)


def _dress(axes: Axes, label: str, below: str) -> None:
    axes.set_ylabel(label)
    axes.set_xlabel(below)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="0.92")
    axes.set_axisbelow(True)


def _leave_out(axes: Axes, why: str) -> None:
    axes.set_axis_off()
    axes.text(0.5, 0.5, why, ha="center", va="center", color="0.4", transform=axes.transAxes)


def _colours() -> list[str]:
    return list(COLOURS) * 10
