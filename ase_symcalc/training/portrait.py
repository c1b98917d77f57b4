"""Pictures of a potential that say what no error on data does: far from them it must be sane."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.data import atomic_numbers, covalent_radii
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ase_symcalc.evaluation import evaluate
from ase_symcalc.potential_files import Potential

SHORTEST = 0.4
"""of a diatomic's covalent bond length"""
STRETCH = (0.75, 1.3)
"""of the distance of nearest neighbours in a crystal, in units of the covalent bond length"""
LATTICES = {
    "fcc": (math.sqrt(2), 4),
    "bcc": (2 / math.sqrt(3), 2),
    "hcp": (1.0, 2),
    "sc": (1.0, 1),
    "diamond": (4 / math.sqrt(3), 8),
}
"""lattice constant for neighbours at distance one; atoms in the cubic cell"""
N_POINTS = 61
TALLEST = 10.0
"""eV above the zero of a diatomic that is still drawn"""
DEEPEST = 3.0
"""eV/atom above the lowest that is still drawn of a crystal"""
TURNS = 5


def plot_diatomics(path: Path, potential: Potential) -> None:
    """Energy of two atoms against their distance, less that of the atoms alone.

    A panel for each element, with its pairs of the card; others are not what it was made for.

    Parameters
    ----------
    path : Path
    potential : Potential
    """
    card = potential.card
    pairs = [tuple(pair.split("-")) for pair in card.pairs]
    alone = {
        symbol: found.energy
        for symbol, found in zip(
            card.elements, evaluate([Atoms(s) for s in card.elements], potential), strict=True
        )
    }
    figure, panels = _panels(card.elements)
    for symbol, axes in panels.items():
        own = sorted((p for p in pairs if symbol in p), key=lambda p: p[0] != p[1])
        for first, second in own:
            bond = covalent_radii[[atomic_numbers[first], atomic_numbers[second]]].sum()
            r = np.linspace(SHORTEST * bond, card.cutoff, N_POINTS)
            dimers = [Atoms([first, second], [[0, 0, 0], [0, 0, d]]) for d in r]
            energies = np.array([found.energy for found in evaluate(dimers, potential)])
            style = {"linewidth": 2} if first == second else {"linewidth": 1, "linestyle": "--"}
            axes.plot(
                r, energies - alone[first] - alone[second], label=f"{first}-{second}", **style
            )
        low, high = axes.get_ylim()
        axes.set_ylim(max(low, -TALLEST), min(high, TALLEST))
        axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)
        if own:
            axes.legend(fontsize="x-small", loc="upper right")
    figure.supxlabel("distance / Å")
    figure.supylabel("energy less that of the atoms alone / eV")
    FigureCanvasAgg(figure).print_png(str(path))


def plot_volumes(path: Path, potential: Potential) -> None:
    """Energy of simple lattices of each element against the volume, above the lowest.

    An element that was near no other of its kind in training has no curves.

    Parameters
    ----------
    path : Path
    potential : Potential
    """
    figure, panels = _panels(potential.card.elements)
    for symbol, axes in panels.items():
        listed = potential.card.pairs
        if listed and f"{symbol}-{symbol}" not in listed:
            axes.text(0.5, 0.5, f"no {symbol}-{symbol}\nin training", ha="center", va="center")
            axes.set_axis_off()
            continue
        curves = {name: _curve(symbol, name, potential) for name in LATTICES}
        lowest = min(energies.min() for _, energies in curves.values())
        for name, (volumes, energies) in curves.items():
            axes.plot(volumes, energies - lowest, label=name, linewidth=1.2)
        axes.set_ylim(-0.05 * DEEPEST, DEEPEST)
        axes.legend(fontsize="xx-small", loc="upper right")
    figure.supxlabel("volume / (Å³/atom)")
    figure.supylabel("energy above the lowest / (eV/atom)")
    FigureCanvasAgg(figure).print_png(str(path))


def microseconds_per_atom(potential: Potential, frames: Sequence[Atoms]) -> float:
    """Time of energy, forces and stress of these structures together, on this machine."""
    durations = []
    for _ in range(TURNS):
        start = time.perf_counter()
        evaluate(list(frames), potential, symmetry="off")
        durations.append(time.perf_counter() - start)
    return 1e6 * statistics.median(durations) / sum(len(atoms) for atoms in frames)


def _curve(symbol: str, lattice: str, potential: Potential) -> tuple[np.ndarray, np.ndarray]:
    """Volumes and energies per atom, from squeezed to stretched."""
    unit, n_atoms = LATTICES[lattice]
    bond = 2 * covalent_radii[atomic_numbers[symbol]]
    crystals = []
    for stretch in np.linspace(*STRETCH, N_POINTS):
        a = unit * bond * stretch
        if lattice == "hcp":
            crystals.append(bulk(symbol, "hcp", a=a, c=a * math.sqrt(8 / 3)))
        else:
            crystals.append(bulk(symbol, lattice, a=a, cubic=n_atoms > 1))
    found = evaluate(crystals, potential)
    volumes = np.array([atoms.get_volume() / len(atoms) for atoms in crystals])
    energies = [own.energy / len(atoms) for own, atoms in zip(found, crystals, strict=True)]
    return volumes, np.array(energies)


def _panels(elements: Sequence[str]) -> tuple[Figure, dict[str, Axes]]:
    """One panel for each element, in a block as square as it gets."""
    columns = math.ceil(math.sqrt(len(elements)))
    rows = math.ceil(len(elements) / columns)
    figure = Figure(figsize=(1 + 2.6 * columns, 0.8 + 2.1 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid[len(elements) :]:
        axes.set_visible(False)
    panels = dict(zip(elements, grid, strict=False))
    for symbol, axes in panels.items():
        axes.set_title(symbol, fontsize="small")
        axes.tick_params(labelsize="x-small")
    return figure, panels
