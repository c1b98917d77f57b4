"""Pictures of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from ase_symcalc.training.dataset import Frame
from ase_symcalc.training.metrics import Errors, FrameErrors, config_types, summarise, summarise_by

PANELS = (
    ("loss", {"training_loss": "training"}),
    ("energy error / (meV/atom)", {"energy_mae": "MAE", "energy_rmse": "RMSE"}),
    ("force error / (meV/Å)", {"force_mae": "MAE", "force_rmse": "RMSE"}),
    ("stress error / GPa", {"stress_mae": "MAE", "stress_rmse": "RMSE"}),
)
MOST_COLOURS, MOST_BARS = 10, 25
BINS = 12  # of the force magnitude
LEAST_IN_BIN = 5
LEAST_FORCE = 0.01  # eV/Å; those below are mostly zero by symmetry


def plot_history(
    path: Path, history: Sequence[Mapping[str, int | float]], second_stage: float
) -> None:
    """Loss and validation errors against the epoch; a line where the second stage begins."""
    figure = Figure(figsize=(10, 7), layout="constrained")
    epochs = [row["epoch"] for row in history]
    for axes, (title, columns) in zip(figure.subplots(2, 2).flat, PANELS, strict=True):
        for column, label in columns.items():
            axes.plot(epochs, [row[column] for row in history], label=label)
        if epochs and second_stage < epochs[-1]:
            axes.axvline(second_stage, color="0.7", linestyle=":")
        axes.set(title=title, xlabel="epoch")
        if any(row[column] > 0 for row in history for column in columns):
            axes.set_yscale("log")
            _plain_numbers(axes.yaxis)
        axes.legend(loc="upper right")  # "best" is slow, and warns of it
    FigureCanvasAgg(figure).print_png(str(path))


def plot_parity(path: Path, frames: Sequence[Frame], errors: FrameErrors) -> None:
    """Predicted against labelled energies and force components, coloured by file.

    Parameters
    ----------
    path : Path
    frames : sequence of Frame
        As the errors were found with; energies are shown as in the frames, which in a run is
        without the reference energies.
    errors : FrameErrors
    """
    figure = Figure(figsize=(11, 5.5), layout="constrained")
    energies, forces = figure.subplots(1, 2)
    total = summarise(errors)
    ranks = sorted({f.source for f in frames}, key=lambda name: -_count(frames, name))
    for rank, source in enumerate(ranks):
        own = [i for i, f in enumerate(frames) if f.source == source]
        style = {"s": 5, "color": f"C{rank % 10}", "alpha": 0.5, "linewidths": 0}
        label = source if len(ranks) <= MOST_COLOURS or rank < MOST_COLOURS - 1 else None
        x = np.array([frames[i].energy or 0.0 for i in own]) / errors.n_atoms[own]
        energies.scatter(x, x + errors.energy[own], label=label, rasterized=True, **style)
        known = [i for i in own if frames[i].forces is not None]
        pushed = np.concatenate([np.zeros(0), *(_labelled(frames[i]).ravel() for i in known)])
        off = np.concatenate([np.zeros(0), *(errors.forces[i].ravel() for i in known)])
        forces.scatter(pushed, pushed + off, rasterized=True, **style)
    for axes, what, unit, mae, rmse in (
        (energies, "energy above the references", "eV/atom", total.energy_mae, total.energy_rmse),
        (forces, "force component", "eV/Å", total.force_mae, total.force_rmse),
    ):
        _diagonal(axes)
        axes.set(xlabel=f"labelled {what} / ({unit})", ylabel=f"predicted {what} / ({unit})")
        axes.set_title(f"MAE {mae:.4g}, RMSE {rmse:.4g} m{unit}")
    energies.legend(loc="upper left", markerscale=3, fontsize="small")
    FigureCanvasAgg(figure).print_png(str(path))


def plot_errors(path: Path, frames: Sequence[Frame], errors: FrameErrors) -> None:
    """Energy and force error of each config_type, and force error against the force.

    Of more config_types than fit, those with the largest force errors are shown.
    """
    named = summarise_by(errors, config_types(frames))
    everything = named.pop("all")
    worst = sorted(named, key=lambda name: -np.nan_to_num(named[name].force_mae))[:MOST_BARS]
    shown = {name: named[name] for name in worst[::-1]} | {"all": everything}
    figure = Figure(figsize=(13, max(4.5, 1.5 + 0.22 * len(shown))), layout="constrained")
    energy, force, size = figure.subplots(1, 3, width_ratios=(1, 1, 1.1))
    left_out = len(named) - len(worst)
    _bars(energy, shown, "energy", "meV/atom")
    _bars(force, shown, "force", "meV/Å")
    force.set_yticklabels([])
    if left_out:
        figure.suptitle(f"{len(worst)} config_types with the largest force errors of {len(named)}")
    _by_magnitude(size, frames, errors)
    FigureCanvasAgg(figure).print_png(str(path))


def _bars(axes: Axes, rows: Mapping[str, Errors], what: str, unit: str) -> None:
    places = np.arange(len(rows))
    for shift, kind in ((0.2, "mae"), (-0.2, "rmse")):
        values = [np.nan_to_num(getattr(row, f"{what}_{kind}")) for row in rows.values()]
        axes.barh(places + shift, values, height=0.38, label=kind.upper())
    names = [f"{name} ({row.n_frames})" for name, row in rows.items()]
    axes.set_yticks(places, names, fontsize="small")
    axes.set(title=f"{what} error by config_type (frames)", xlabel=f"{what} error / ({unit})")
    axes.margins(y=0.01)
    axes.legend(loc="lower right")


def _by_magnitude(axes: Axes, frames: Sequence[Frame], errors: FrameErrors) -> None:
    known = [i for i, f in enumerate(frames) if f.forces is not None]
    pushed = np.concatenate(
        [np.zeros(0), *(np.linalg.norm(_labelled(frames[i]), axis=1) for i in known)]
    )
    off = np.concatenate([np.zeros(0), *(np.linalg.norm(errors.forces[i], axis=1) for i in known)])
    axes.set(
        title="force error by the size of the force",
        xlabel="labelled force / (eV/Å)",
        ylabel="force error / (meV/Å)",
    )
    if not (pushed > LEAST_FORCE).any():
        axes.text(0.5, 0.5, "no forces", transform=axes.transAxes, ha="center")
        return
    edges = np.geomspace(LEAST_FORCE, 1.001 * pushed.max(), BINS + 1)
    members = [off[(low <= pushed) & (pushed < high)] for low, high in pairwise(edges)]
    centres = np.sqrt(edges[:-1] * edges[1:])
    full = [i for i, own in enumerate(members) if len(own) >= LEAST_IN_BIN]
    quantiles = 1e3 * np.array([np.quantile(members[i], (0.1, 0.5, 0.9)) for i in full]).T
    if not full:
        return
    axes.fill_between(centres[full], quantiles[0], quantiles[2], alpha=0.25, label="10 to 90 %")
    axes.plot(centres[full], quantiles[1], marker="o", label="median")
    limits = centres[full][[0, -1]]
    for share in (0.1, 0.01):
        axes.plot(limits, 1e3 * share * limits, color="0.6", linestyle=":")
        axes.annotate(
            f"{share:.0%} of the force",
            (limits[0], 1e3 * share * limits[0]),
            xytext=(0, 12),
            textcoords="offset points",
            color="0.5",
            rotation=30,
        )
    axes.set(xscale="log", yscale="log")
    for axis in (axes.xaxis, axes.yaxis):
        _plain_numbers(axis)
    axes.legend(loc="lower right")


def _plain_numbers(axis: Axis) -> None:
    """Write 0.2 and 50 instead of powers of ten, at 1, 2 and 5 of each decade."""
    axis.set_minor_locator(LogLocator(subs=(2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter("{x:g}")


def _diagonal(axes: Axes) -> None:
    low, high = axes.get_xlim()
    axes.plot([low, high], [low, high], color="0.3", linewidth=0.8, zorder=0)
    axes.set_xlim(low, high)


def _labelled(frame: Frame) -> Float[np.ndarray, "n_atoms 3"]:
    if frame.forces is None:
        raise ValueError(f"{frame.name} has no forces to show")
    return frame.forces.numpy()


def _count(frames: Sequence[Frame], source: str) -> int:
    return sum(frame.source == source for frame in frames)
