"""Whether energies, forces and stresses of a file fit together.

Between two states of the same atoms that are close, the energy changes by the work done:

    E(2) - E(1) = -½ (F(1) + F(2)) · Δr + ½ (V(1) σ(1) + V(2) σ(2)) : ε

to second order and, for harmonic displacements, exactly. F and σ are the labels, V the
volumes, Δr the displacements beyond those of the cell and ε the logarithm of the stretch
between the cells; what belongs to the second state is turned back with its cell. A wrong
sign, unit or order shows as another slope of the left over a term on the right.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy.spatial import cKDTree

from ase_symcalc.errors import InputError
from ase_symcalc.training.dataset import Frame
from ase_symcalc.units import EV_PER_CUBIC_ANGSTROM_IN_GPA

STRAINS = (5e-4, 0.06)  # smaller ones drown in noise, larger ones are not close
DISPLACED = (0.1, 0.35)  # Å; how far atoms may move beside a strain, and without one
NEIGHBOURS = 8  # pairs made of each frame
PAIRS, MANY = 8, 24  # fewer prove nothing; a small constant takes more
EXPLAINED = 0.8  # part of the squared energy differences that a verdict has to explain
RIGHT = (0.5, 1.7)  # slopes; k-point noise and anharmonic displacements reach 0.75 and 1.3
OFFSET = 1.0 / EV_PER_CUBIC_ANGSTROM_IN_GPA  # eV/Å³; converged cells come to less than half
HARTREE, BOHR, KCAL, KJ = 27.211386, 0.529177, 0.0433641, 0.01036427  # eV, Å, eV, eV
FORCE_SLOPES = {
    "the sign of the forces is turned": -1.0,
    "the energies are in Hartree": 1 / HARTREE,
    "the forces are in Hartree/Bohr": HARTREE / BOHR,
    "the energies are in Hartree and the forces in Hartree/Bohr": 1 / BOHR,
    "the energies are in Rydberg": 2 / HARTREE,
    "the forces are in Rydberg/Bohr": HARTREE / BOHR / 2,
    "the energies are in kcal/mol": 1 / KCAL,
    "the forces are in kcal/mol/Å": KCAL,
    "the energies are in kJ/mol": 1 / KJ,
    "the forces are in kJ/mol/Å": KJ,
}
STRESS_SLOPES = {
    f"{'they are' if sign > 0 else 'their sign is turned and they are'} in {unit}": sign * slope
    for sign in (1, -1)
    for unit, slope in {
        "GPa": 1 / EV_PER_CUBIC_ANGSTROM_IN_GPA,
        "kbar": 0.1 / EV_PER_CUBIC_ANGSTROM_IN_GPA,
        "Hartree/Bohr³": HARTREE / BOHR**3,
        "Rydberg/Bohr³": HARTREE / BOHR**3 / 2,
    }.items()
} | {"their sign is turned": -1.0}
SHEAR = ("yz", "xz", "xy")
VOIGT = ((1, 2), (0, 2), (0, 1))


@dataclass(frozen=True, slots=True)
class Works:
    """Pairs of neighbouring states of a file."""

    frames: Int64[np.ndarray, "n 2"]
    energy: Float64[np.ndarray, "n"]
    """eV, of the second less that of the first"""
    force: Float64[np.ndarray, "n"]
    """eV, work of the forces"""
    normal: Float64[np.ndarray, "n"]
    """eV, work of the stress along the axes"""
    shear: Float64[np.ndarray, "n 3 3"]
    """eV, of the stress label of one shear component (rows: yz, xz, xy) on the strain of
    another; NaN like ``normal`` without labels"""
    dilation: Float64[np.ndarray, "n"]
    """Å³, work of a unit of pressure"""
    strain: Float64[np.ndarray, "n"]
    """largest component"""
    sheared: Bool[np.ndarray, "n"]
    """whether the largest is one of shear"""
    displacement: Float64[np.ndarray, "n"]
    """Å, largest"""


def check_consistency(frames: Sequence[Frame]) -> None:
    """Refuse files whose forces or stresses contradict their energies.

    Says nothing of a file in which no states are close enough to tell.

    Raises
    ------
    InputError
        Naming the file, two frames and what the labels look like.
    """
    files: dict[str, list[Frame]] = defaultdict(list)
    for frame in frames:
        if frame.energy is not None:
            files[frame.source].append(frame)
    for source, own in files.items():
        if (works := find_works(own)) is not None:
            _check_forces(source, own, works)
            _check_stress(source, own, works)


def find_works(frames: Sequence[Frame]) -> Works | None:
    """Energy differences and works between frames of a file that lie close; None if none do."""
    kinds: dict[bytes, list[int]] = defaultdict(list)
    for i, frame in enumerate(frames):
        if frame.energy is not None:
            kinds[frame.graph.atomic_numbers.numpy().tobytes()].append(i)
    found = [_works_of_kind(frames, own) for own in kinds.values() if len(own) > 1]
    if not found:
        return None
    columns = zip(*found, strict=True)
    return Works(*(np.concatenate(column) for column in columns))


def _works_of_kind(frames: Sequence[Frame], own: Sequence[int]) -> tuple[np.ndarray, ...]:
    chosen = [frames[i] for i in own]
    cells = np.array([f.graph.cell[0].double().numpy() for f in chosen])
    positions = np.array([f.graph.positions.double().numpy() for f in chosen])
    unknown = np.full(positions.shape[1:], np.nan)
    forces = np.array([unknown if f.forces is None else f.forces.double().numpy() for f in chosen])
    none = np.full((3, 3), np.nan)
    stress = np.array([none if f.stress is None else f.stress.double().numpy() for f in chosen])
    i, j = _close(cells).T
    gradient = np.linalg.solve(cells[i], cells[j])  # rows of the cell: r' = r @ gradient
    left, stretches, right = np.linalg.svd(gradient)
    turn = left @ right
    strain = left @ (np.log(stretches)[:, :, None] * left.swapaxes(1, 2))
    shift = _displacements(chosen[0].graph.pbc[0].numpy(), cells, positions, i, j)
    # half-way between the cells, in the frame of the first
    shift = shift @ (np.eye(3) + strain / 2)
    forces = (forces[i] + np.einsum("pna,pba->pnb", forces[j], turn)) / 2
    volumes = np.abs(np.linalg.det(cells))
    virial = volumes[:, None, None] * stress  # the derivative by the logarithm of the stretch
    virial = (virial[i] + turn @ virial[j] @ turn.swapaxes(1, 2)) / 2
    energy = np.array([f.energy for f in chosen], dtype=float)
    rows, columns = zip(*VOIGT, strict=True)
    return (
        np.array(own)[np.stack([i, j], axis=1)],
        energy[j] - energy[i],
        -(forces * shift).sum(axis=(1, 2)),
        np.einsum("paa,paa->p", virial, strain),
        2 * virial[:, rows, columns][:, :, None] * strain[:, rows, columns][:, None, :],
        (volumes[i] + volumes[j]) / 2 * np.trace(strain, axis1=1, axis2=2),
        np.abs(strain).max(axis=(1, 2)),
        np.abs(strain[:, rows, columns]).max(axis=1) >= 0.5 * np.abs(strain).max(axis=(1, 2)),
        np.linalg.norm(shift, axis=2).max(axis=1),
    )


def _close(cells: Float64[np.ndarray, "n 3 3"]) -> Int64[np.ndarray, "n_pairs 2"]:
    """Frames that follow one another, and those of nearest cells."""
    count = len(cells)
    following = np.stack([np.arange(count - 1), np.arange(1, count)], axis=1)
    metric = (cells @ cells.swapaxes(1, 2)).reshape(count, 9)
    metric /= np.abs(metric).max()
    distinct, first = np.unique(metric.round(6), axis=0, return_index=True)
    number = min(NEIGHBOURS, len(distinct) - 1)
    if number == 0:
        return following
    _, nearest = cKDTree(metric[first]).query(metric[first], number + 1)
    pairs = np.stack([np.repeat(first, number), first[nearest[:, 1:]].ravel()], axis=1)
    return np.unique(np.sort(np.concatenate([following, pairs]), axis=1), axis=0)


def _displacements(
    pbc: np.ndarray,
    cells: Float64[np.ndarray, "n 3 3"],
    positions: Float64[np.ndarray, "n n_atoms 3"],
    i: Int64[np.ndarray, "n_pairs"],
    j: Int64[np.ndarray, "n_pairs"],
) -> Float64[np.ndarray, "n_pairs n_atoms 3"]:
    """Beyond the cell, in the first one of each pair, without a drift of the whole."""
    scaled = np.linalg.solve(cells.swapaxes(1, 2)[:, None], positions[..., None])[..., 0]
    apart = scaled[j] - scaled[i]
    apart -= apart[:, :1]  # or half a cell of drift would be folded to either side
    apart -= np.where(pbc, np.round(apart), 0.0)
    shift = apart @ cells[i]
    return shift - shift.mean(axis=1, keepdims=True)


def _check_forces(source: str, frames: Sequence[Frame], works: Works) -> None:
    good = (works.strain < STRAINS[0]) & np.isfinite(works.force)
    good &= (works.displacement > 1e-3) & (works.displacement < DISPLACED[1])
    pairs = np.flatnonzero(good)
    pairs = pairs[np.argsort(works.displacement[pairs])][: max(PAIRS, len(pairs) // 4)]
    if len(pairs) < PAIRS:
        return
    (slope,), explained = _fit(works.energy[pairs], works.force[pairs, None])
    if explained < EXPLAINED or RIGHT[0] < slope < RIGHT[1]:
        return
    first, second = (frames[i] for i in works.frames[pairs[0]])
    meanings = FORCE_SLOPES | {"the energies are per atom": 1 / first.graph.n_atoms}
    raise InputError(
        f"the forces of {source} do not fit its energies: from {first.name} to {second.name} and "
        f"{len(pairs) - 1} other pairs, energies change by {slope:.3g} times the work of the "
        f"forces{_meaning(slope, meanings)}. Energies are in eV, forces in eV/Å."
    )


def _check_stress(source: str, frames: Sequence[Frame], works: Works) -> None:
    good = (works.strain > STRAINS[0]) & (works.strain < STRAINS[1])
    good &= (works.displacement < DISPLACED[0]) & np.isfinite(works.normal)
    pairs = np.flatnonzero(good)
    if len(pairs) < PAIRS:
        return
    energy = works.energy[pairs] - np.nan_to_num(works.force[pairs])
    own = (0, 1, 2)
    order = _order_of_shear(energy, works, pairs)
    (slope, offset), explained = _fit(energy, _stress_works(works, pairs, order))
    if explained < EXPLAINED:
        return
    first, second = (frames[i] for i in works.frames[pairs[0]])
    found = f"from {first.name} to {second.name} and {len(pairs) - 1} other pairs of strained cells"
    remedy = 'Stresses are dE/dε / V in eV/Å³; leave them out with stress = "none".'
    if not RIGHT[0] < slope < RIGHT[1]:
        volume = float(np.median([frames[i].volume for i, _ in works.frames[pairs]]))
        meanings = STRESS_SLOPES | {
            "they are virials, in eV": 1 / volume,
            "they are virials, in eV, of the other sign": -1 / volume,
            "the energies are per atom": 1 / first.graph.n_atoms,
            "the energies are in Hartree": 1 / HARTREE,
        }
        raise InputError(
            f"the stresses of {source} do not fit its energies: {found}, energies change by "
            f"{slope:.3g} times the work of the stress{_meaning(slope, meanings)}. {remedy}"
        )
    if order != own:
        names = ", ".join(SHEAR[order.index(k)] for k in own)
        raise InputError(
            f"the shear stresses of {source} are in another order: {found}, energies change as "
            f"if what stands for yz, xz, xy were {names}. {remedy}"
        )
    if abs(offset) > OFFSET and len(pairs) > MANY and not frames[0].deviatoric:
        raise InputError(
            f"the stresses of {source} are off by a constant pressure: {found}, energies change "
            f"as if {-1e1 * offset * EV_PER_CUBIC_ANGSTROM_IN_GPA:+.3g} kbar had been added to "
            'every normal component. Learn the rest with stress = "deviatoric".'
        )


def _order_of_shear(
    energy: Float64[np.ndarray, "n"], works: Works, pairs: Int64[np.ndarray, "n"]
) -> tuple[int, ...]:
    """Where yz, xz and xy of the strain find their stress; 0, 1, 2 if nothing else is clear."""
    own = (0, 1, 2)
    sheared = np.flatnonzero(works.sheared[pairs])
    if len(sheared) < PAIRS:
        return own
    explained = {
        order: _fit(energy[sheared], _stress_works(works, pairs[sheared], order))[1]
        for order in permutations(own)
    }
    best = max(explained, key=lambda order: explained[order])
    clear = explained[best] > EXPLAINED and 1 - explained[best] < 0.5 * (1 - explained[own])
    return best if clear else own


def _stress_works(
    works: Works, pairs: Int64[np.ndarray, "n"], order: Sequence[int]
) -> Float64[np.ndarray, "n 2"]:
    shear = sum(works.shear[pairs, label, strain] for strain, label in enumerate(order))
    return np.stack([works.normal[pairs] + shear, works.dilation[pairs]], axis=1)


def _fit(
    energy: Float64[np.ndarray, "n"], works: Float64[np.ndarray, "n n_works"]
) -> tuple[Float64[np.ndarray, "n_works"], float]:
    """Slopes of least squares, and the part of the squared energies that they explain."""
    size = np.linalg.norm(works, axis=0) + 1e-300
    slopes = np.linalg.lstsq(works / size, energy, rcond=1e-3)[0] / size
    left = np.square(energy - works @ slopes).sum()
    return slopes, float(1 - left / (np.square(energy).sum() + 1e-300))


def _meaning(slope: float, meanings: dict[str, float]) -> str:
    """Words for the known slopes that are within a quarter of what was found."""
    near = [words for words, known in meanings.items() if 0.75 < slope / known < 1.25]
    return f", as if {' or '.join(near)}" if near else ", which should be equal"
