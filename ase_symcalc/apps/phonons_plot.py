"""Picture of phonons: bands and density of states side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ase_symcalc.apps.phonons import BandSegment, DensityOfStates, PhononResult
from ase_symcalc.apps.relax_plot import BLUE, ORANGE


def plot_phonons(result: PhononResult, path: str | Path, *, title: str = "") -> None:
    """Draw bands along the standard path, and the density of states, into a file.

    Parameters
    ----------
    result : PhononResult
    path : path
        Ends in one of `relax_plot.PICTURES`, which says its format.
    title : str
    """
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    bands, dos = figure.subplots(1, 2, sharey=True, width_ratios=(4, 1))
    figure.suptitle(title, fontsize="medium")
    _draw_bands(bands, result.bands)
    _draw_dos(dos, result.dos)
    lowest = min(segment.frequencies.min() for segment in result.bands)
    highest = max(segment.frequencies.max() for segment in result.bands)
    bands.set_ylim(1.05 * lowest if result.imaginary else 0, 1.05 * highest)
    if result.imaginary:
        for axes in (bands, dos):
            axes.axhspan(2 * lowest, 0, color=ORANGE, alpha=0.1, linewidth=0)
        bands.annotate(
            "imaginary",
            (0.01, 0.02),
            xycoords="axes fraction",
            color=ORANGE,
            fontsize="small",
        )
    figure.savefig(path, dpi=150)


def ticks(bands: Sequence[BandSegment]) -> tuple[list[float], list[str]]:
    """Where corners of the path are, and their labels; both labels where the path jumps."""
    places = [float(bands[0].distance[0])]
    labels = [bands[0].start.label]
    for segment in bands:
        if labels[-1] != segment.start.label:
            labels[-1] += f"|{segment.start.label}"
        places.append(float(segment.distance[-1]))
        labels.append(segment.end.label)
    return places, labels


def _draw_bands(axes: Axes, bands: Sequence[BandSegment]) -> None:
    for segment in bands:
        axes.plot(segment.distance, segment.frequencies, color=BLUE, linewidth=1.2)
    places, labels = ticks(bands)
    for place in places:
        axes.axvline(place, color="0.85", linewidth=0.8, zorder=0)
    axes.set_xticks(places, labels)
    axes.set_xlim(places[0], places[-1])
    axes.set_ylabel("frequency (THz)")
    axes.axhline(0, color="0.4", linewidth=0.8)


def _draw_dos(axes: Axes, dos: DensityOfStates) -> None:
    axes.plot(dos.density, dos.frequencies, color=BLUE, linewidth=1.2)
    axes.fill_betweenx(dos.frequencies, np.zeros_like(dos.density), dos.density, alpha=0.15)
    axes.set_xlim(0, None)
    axes.set_xlabel("modes per THz\nand primitive cell")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=3, prune="lower"))
    axes.axhline(0, color="0.4", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
