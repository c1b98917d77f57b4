"""Pictures of a run."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

PANELS = (
    ("loss", {"training_loss": "training"}),
    ("energy error / (meV/atom)", {"energy_mae": "MAE", "energy_rmse": "RMSE"}),
    ("force error / (meV/Å)", {"force_mae": "MAE", "force_rmse": "RMSE"}),
    ("stress error / GPa", {"stress_mae": "MAE", "stress_rmse": "RMSE"}),
)


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
        axes.set(title=title, xlabel="epoch", yscale="log")
        axes.legend()
    FigureCanvasAgg(figure).print_png(str(path))
