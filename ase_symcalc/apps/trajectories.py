"""What the frames of a run say: how atoms surround each other, and how far they get."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from ase import Atoms
from jaxtyping import Float64

from ase_symcalc.errors import InputError
from ase_symcalc.structures import neighbour_pairs

BLOCKS = 5

WINDOW = (0.2, 0.5)
"""Of a block's length: where the displacement is fitted if nothing else is asked for."""

MOST_LAGS = 50  # in the window, and before it

FEWEST_FRAMES = 10 * BLOCKS


@dataclass(frozen=True, slots=True)
class RadialDistribution:
    """Mean density of atoms around an atom, relative to that of the whole."""

    distances: Float64[np.ndarray, "n_bins"]
    """Å, the middles of the bins"""
    total: Float64[np.ndarray, "n_bins"]
    """Of all atoms alike."""
    partial: dict[tuple[str, str], Float64[np.ndarray, "n_bins"]]
    """By pair of elements, each pair once, its symbols in alphabetical order."""
    n_frames: int


@dataclass(frozen=True, slots=True)
class Diffusion:
    """How the atoms of one element spread."""

    element: str
    lags: Float64[np.ndarray, "n_lags"]
    """ps between two frames"""
    msd: Float64[np.ndarray, "n_lags"]
    """Å², mean-square displacement"""
    coefficient: float
    """Å²/ps; times 1e-4 cm²/s"""
    error: float
    """Å²/ps, standard error from the scatter of blocks of the run"""
    window: tuple[float, float]
    """ps, the lags that were fitted"""
    exponent: float
    """Of the growth of ``msd`` in the window: 1 for diffusion, 0 for atoms on their sites, 2
    for free flight."""

    @property
    def is_diffusive(self) -> bool:
        """Whether the coefficient means something: linear growth, more than its error."""
        return 0.75 < self.exponent < 1.25 and self.coefficient > 2 * self.error


def radial_distribution(
    images: Iterable[Atoms], *, cutoff: float = 8.0, n_bins: int = 160
) -> RadialDistribution:
    """Average the radial distribution function over frames.

    Parameters
    ----------
    images : iterable of Atoms
        Periodic in 3D, all with the atoms of the first; positions need not be wrapped.
    cutoff : float, Å
        May exceed the cell: images then count like any other atoms.
    n_bins : int

    Returns
    -------
    RadialDistribution
        For elements a and b, with n_ab ordered pairs in the shell of volume v in a cell of
        volume V: g_ab = V n_ab / (N_a N_b v). The number of atoms b around an a within R is
        therefore the integral of 4π r² (N_b / V) g_ab up to R.

    Raises
    ------
    InputError
        If there is no frame, one does not repeat along three directions, or the cutoff or
        the number of bins is not above zero.
    """
    if not (0 < cutoff < np.inf and n_bins > 0):
        raise InputError(
            f"expected a cutoff above 0 Å and at least one bin, got {cutoff} Å and {n_bins}"
        )
    edges = np.linspace(0, cutoff, n_bins + 1)
    shells = 4 / 3 * np.pi * np.diff(edges**3)
    sums: dict[tuple[str, str], np.ndarray] = {}
    total, n_frames = np.zeros(n_bins), 0
    for n_frames, atoms in enumerate(images, start=1):  # noqa: B007
        if not atoms.pbc.all() or atoms.cell.rank < 3:
            raise InputError(
                "a radial distribution is relative to a density, which only a structure that "
                f"repeats along three directions has; got pbc {atoms.pbc.tolist()}"
            )
        lengths, first, second = _lengths(atoms, cutoff)
        volume = atoms.get_volume()
        total += np.histogram(lengths, edges)[0] * volume / len(atoms) ** 2 / shells
        for a, b in combinations_with_replacement(sorted(set(atoms.symbols)), 2):
            mine = (atoms.symbols == a)[first] & (atoms.symbols == b)[second]
            counts = np.histogram(lengths[mine], edges)[0]
            n_pairs = np.count_nonzero(atoms.symbols == a) * np.count_nonzero(atoms.symbols == b)
            sums[a, b] = sums.get((a, b), 0) + counts * volume / n_pairs / shells
    if n_frames == 0:
        raise InputError("expected at least one frame")
    return RadialDistribution(
        distances=(edges[1:] + edges[:-1]) / 2,
        total=total / n_frames,
        partial={pair: values / n_frames for pair, values in sums.items()},
        n_frames=n_frames,
    )


def diffusion(
    images: Sequence[Atoms], interval: float, *, window: tuple[float, float] | None = None
) -> list[Diffusion]:
    """Mean-square displacements, and the diffusion coefficient of each element.

    Parameters
    ----------
    images : sequence of Atoms
        Frames at equal intervals, positions not wrapped into the cell; at least fifty.
    interval : float, fs
        Between two frames.
    window : (float, float), ps, optional
        Lags to fit; by default from a fifth to half of the length of a block.

    Returns
    -------
    list of Diffusion
        One for each element, in the order of their symbols.

    Raises
    ------
    InputError
        If frames are too few or not of the same atoms, or the window does not fit.

    Notes
    -----
    Einstein's relation in three dimensions: D is a sixth of the slope of the mean-square
    displacement, averaged over all pairs of frames, against the lag. The run is cut into five
    blocks, each fitted likewise; the error is that of their mean. Lags reach up to the length
    of a block at most, so that even the longest has several independent displacements behind
    it. The motion of the centre of mass is left out, and so is the breathing of a cell at
    constant pressure: positions relative to the cell, times the mean cell, are followed.
    """
    length = len(images) // BLOCKS
    if len(images) < FEWEST_FRAMES:
        raise InputError(
            f"a diffusion coefficient needs at least {FEWEST_FRAMES} frames, got {len(images)}; "
            "run longer, or write frames more often"
        )
    if any(not np.array_equal(atoms.numbers, images[0].numbers) for atoms in images):
        raise InputError("expected the same atoms in the same order in every frame")
    step = interval / 1000
    low, high = window or (WINDOW[0] * length * step, WINDOW[1] * length * step)
    fitted = np.arange(max(1, round(low / step)), round(high / step) + 1)
    if len(fitted) < 3 or fitted[-1] >= length:
        raise InputError(
            f"expected a window of at least three frames ({step:g} ps each) up to a {BLOCKS}th of "
            f"the run ({length * step:g} ps), got {low:g} to {high:g} ps"
        )
    paths = _paths(images)
    before = np.arange(1, fitted[0])
    lags = np.concatenate([_thinned(before), _thinned(fitted)])
    return [
        _fit(symbol, paths[:, images[0].symbols == symbol], lags, lags >= fitted[0], step)
        for symbol in sorted(set(images[0].symbols))
    ]


def _fit(
    symbol: str, paths: np.ndarray, lags: np.ndarray, window: np.ndarray, step: float
) -> Diffusion:
    length = len(paths) // BLOCKS
    squares = {lag: ((paths[lag:] - paths[:-lag]) ** 2).sum(axis=2).mean(axis=1) for lag in lags}
    msd = np.array([squares[lag].mean() for lag in lags])
    fitted = lags[window] * step
    blocks = []
    for start in range(0, BLOCKS * length, length):
        parts = [squares[lag][start : start + length - lag].mean() for lag in lags[window]]
        blocks.append(_slope(fitted, parts))
    logarithm = np.log(np.maximum(msd[window], np.finfo(float).tiny))
    return Diffusion(
        element=symbol,
        lags=lags * step,
        msd=msd,
        coefficient=_slope(fitted, msd[window]) / 6,
        error=float(np.std(blocks, ddof=1) / np.sqrt(BLOCKS)) / 6,
        window=(float(fitted[0]), float(fitted[-1])),
        exponent=_slope(np.log(fitted), logarithm),
    )


def _thinned(lags: np.ndarray) -> np.ndarray:
    """At most `MOST_LAGS` of them, the first and the last among these."""
    chosen = np.linspace(0, len(lags) - 1, min(len(lags), MOST_LAGS)).round().astype(int)
    return lags[chosen]


def _slope(x: np.ndarray, y: Sequence[float] | np.ndarray) -> float:
    return float(np.polyfit(x, y, 1)[0])


def _paths(images: Sequence[Atoms]) -> np.ndarray:
    """Positions (n_frames, n_atoms, 3) in Å, less the centre of mass and a changing cell."""
    positions = np.array([atoms.positions for atoms in images])
    if images[0].cell.rank == 3:
        cells = np.array([atoms.cell.array for atoms in images])
        if (cells != cells[0]).any():
            positions = np.linalg.solve(cells.mT, positions.mT).mT @ cells.mean(axis=0)
    masses = images[0].get_masses()
    return positions - (masses @ positions / masses.sum())[:, None]


def _lengths(atoms: Atoms, cutoff: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distances within the cutoff, and the atoms at both ends."""
    positions, cell = atoms.positions, atoms.cell.array
    pairs = neighbour_pairs(positions, cell, atoms.pbc, cutoff)
    vectors = positions[pairs.neighbour] - positions[pairs.centre] + pairs.unit_shifts @ cell
    return np.linalg.norm(vectors, axis=1), pairs.centre, pairs.neighbour
