"""Labelled frames: read, checked, split by group, packed into mini-batches."""

from __future__ import annotations

import hashlib
import io
import lzma
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import ase.io
import numpy as np
import torch
from ase import Atoms
from ase.geometry import complete_cell
from ase.stress import voigt_6_to_full_3x3_stress
from jaxtyping import Float, Float32
from torch import Tensor

from ase_symcalc.errors import InputError
from ase_symcalc.graph import AtomicGraph, join_graphs
from ase_symcalc.structures import build_graph
from ase_symcalc.training.config import DataFile

MAX_NET_FORCE = 1e-3  # eV/Å per square root of the number of atoms: rounding adds up like noise


@dataclass(frozen=True, slots=True)
class Frame:
    """One structure with its labels. The graph and its labels are float32, energies not."""

    graph: AtomicGraph
    energy: float
    """eV; less the reference energies where these were subtracted"""
    forces: Float32[Tensor, "n_atoms 3"]
    """eV/Å"""
    stress: Float32[Tensor, "3 3"] | None
    """eV/Å³"""
    deviatoric: bool
    """only the traceless part of the stress is known"""
    weight: float
    source: str
    """file it came from"""
    config_type: str
    group: tuple[str, float, float]
    """formula, energy and volume: the same for copies under a symmetry"""


@dataclass(frozen=True, slots=True)
class Batch:
    """Frames joined, with their labels. Missing stresses are zero and masked."""

    graph: AtomicGraph
    energy: Float32[Tensor, "n_structures"]
    forces: Float32[Tensor, "n_atoms 3"]
    stress: Float32[Tensor, "n_structures 3 3"]
    has_stress: Float32[Tensor, "n_structures"]
    deviatoric: Float32[Tensor, "n_structures"]
    weight: Float32[Tensor, "n_structures"]
    n_atoms: Float32[Tensor, "n_structures"]


def read_atoms(file: DataFile) -> list[Atoms]:
    """Frames of a file, in order.

    Raises
    ------
    InputError
        If the file cannot be read or holds no frame.
    """
    try:
        if file.path.endswith(".xz"):
            # ASE seeks inside the compressed stream, which takes minutes on large files
            with lzma.open(file.path, "rt") as stream:
                text = io.StringIO(stream.read())
            frames = ase.io.read(text, index=file.index, format="extxyz")
        else:
            frames = ase.io.read(file.path, index=file.index)
    except Exception as error:  # every reader of ASE fails in its own way
        raise InputError(f"cannot read frames {file.index} of {file.path}: {error}") from error
    frames = frames if isinstance(frames, list) else [frames]
    if not frames:
        raise InputError(f"frames {file.index} of {file.path}: there are none")
    return frames


def read_frames(
    file: DataFile,
    cutoff: float,
    elements: Sequence[str],
    *,
    weights: Mapping[str, float],
    max_force: float = float("inf"),
) -> list[Frame]:
    """Read, check and turn into graphs the frames of one file.

    Parameters
    ----------
    file : DataFile
    cutoff : float, Å
    elements : sequence of str
        Those the model is to know.
    weights : dict of str to float
        Weight of each config_type; 1 where none is given.
    max_force : float, eV/Å
        Frames with an atom pushed harder are left out.

    Raises
    ------
    InputError
        Naming file and frame, if there is another element, a label is missing or not finite,
        or the forces do not sum to zero.
    """
    source = "/".join(Path(file.path).parts[-2:]).split(".")[0]
    frames = []
    for number, atoms in enumerate(read_atoms(file)):
        name = f"frame {number} of {file.path}[{file.index}]"
        if unknown := sorted(set(atoms.symbols) - set(elements)):
            raise InputError(
                f"{name} holds {', '.join(unknown)}, but model.elements lists only "
                f"{', '.join(elements)}"
            )
        energy, forces, stress = _labels(atoms, name, file)
        if len(forces) and np.linalg.norm(forces, axis=1).max() > max_force:
            continue
        config_type = str(atoms.info.get("config_type", ""))
        frames.append(
            Frame(
                graph=_graph(atoms, cutoff, name),
                energy=energy,
                forces=torch.from_numpy(forces).float(),
                stress=None if stress is None else torch.from_numpy(stress).float(),
                deviatoric=file.stress == "deviatoric",
                weight=weights.get(config_type, 1.0),
                source=source,
                config_type=config_type,
                group=(atoms.get_chemical_formula(), round(energy, 4), _rounded_volume(atoms)),
            )
        )
    return frames


def split(frames: Sequence[Frame], fraction: float, seed: int) -> tuple[list[Frame], list[Frame]]:
    """Training and validation frames; a group is never on both sides.

    The fraction is taken from each file. Groups are ordered by a hash of the seed and of
    what they are, so a frame keeps its side when other files are added.
    """
    groups: dict[tuple[str, float, float], list[int]] = defaultdict(list)
    for i, frame in enumerate(frames):
        groups[frame.group].append(i)
    by_source: dict[str, list[list[int]]] = defaultdict(list)
    for key in sorted(groups, key=lambda key: _hash(f"{seed} {key}")):
        members = groups[key]
        by_source[frames[members[0]].source].append(members)
    validation: set[int] = set()
    for members_of in by_source.values():
        wanted, taken = round(fraction * sum(map(len, members_of))), 0
        for members in members_of:
            if taken + len(members) <= wanted:
                validation.update(members)
                taken += len(members)
    sides: tuple[list[Frame], list[Frame]] = ([], [])
    for i, frame in enumerate(frames):
        sides[i in validation].append(frame)
    if not all(sides):
        raise InputError(
            f"{len(frames)} frames cannot be split with validation_fraction {fraction}: one side "
            "is empty; give more frames or another fraction"
        )
    return sides


def epoch_order(n_frames: int, seed: int, epoch: int) -> list[int]:
    """Order of the frames in an epoch: a function of seed and epoch, so a resume finds it."""
    generator = torch.Generator().manual_seed(int(_hash(f"{seed} {epoch}")[:15], 16))
    return torch.randperm(n_frames, generator=generator).tolist()


def pack(n_edges: Sequence[int], max_edges: int) -> list[list[int]]:
    """Consecutive positions, filled into batches of at most ``max_edges`` edges."""
    batches: list[list[int]] = []
    filled = max_edges
    for i, edges in enumerate(n_edges):
        if not batches or filled + edges > max_edges:
            batches.append([])
            filled = 0
        batches[-1].append(i)
        filled += edges
    return batches


def collate(frames: Sequence[Frame], device: torch.device | str = "cpu") -> Batch:
    """Join frames into one batch."""
    zero = torch.zeros(3, 3)
    return Batch(
        graph=join_graphs([f.graph for f in frames]).to(device, torch.float32),
        energy=torch.tensor([f.energy for f in frames], device=device),
        forces=torch.cat([f.forces for f in frames]).to(device),
        stress=torch.stack([zero if f.stress is None else f.stress for f in frames]).to(device),
        has_stress=torch.tensor([float(f.stress is not None) for f in frames], device=device),
        deviatoric=torch.tensor([float(f.deviatoric) for f in frames], device=device),
        weight=torch.tensor([f.weight for f in frames], device=device),
        n_atoms=torch.tensor([float(f.graph.n_atoms) for f in frames], device=device),
    )


def data_digest(files: Sequence[DataFile]) -> str:
    """SHA-256 over the bytes of the files and the slices taken."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(Path(file.path).read_bytes() + file.index.encode())
    return digest.hexdigest()


def stress_errors(
    predicted: Float[Tensor, "n_structures 3 3"], batch: Batch
) -> Float[Tensor, "n_structures 3 3"]:
    """Deviation from the labels, eV/Å³, without the pressure where that is not known.

    Frames without a label have errors too, without meaning.
    """
    errors = predicted - batch.stress
    pressure = errors.diagonal(dim1=1, dim2=2).mean(dim=1) * batch.deviatoric
    return errors - torch.diag_embed(pressure.unsqueeze(1).expand(-1, 3))


def _labels(atoms: Atoms, name: str, file: DataFile) -> tuple[float, np.ndarray, np.ndarray | None]:
    results = atoms.calc.results if atoms.calc is not None else {}
    for key in ("energy", "forces"):
        if key not in results:
            raise InputError(f"{name} has no {key}; every frame needs an energy and forces")
    energy = float(results["energy"])
    forces = np.array(results["forces"], dtype=float)
    held, key = (results, "stress") if file.stress_key is None else (atoms.info, file.stress_key)
    stress = np.array(held[key], dtype=float) if key in held and file.stress != "none" else None
    for key, label in (("energy", energy), ("forces", forces), ("stress", stress)):
        if label is not None and not np.isfinite(label).all():
            raise InputError(f"{name} has a label that is not a finite number: {key}")
    net = np.abs(forces.sum(axis=0)).max()
    if net > MAX_NET_FORCE * np.sqrt(len(atoms)):
        raise InputError(
            f"{name}: its forces sum to {net:.3g} eV/Å, but without an outer field they sum to "
            "zero; the labels are wrong or incomplete"
        )
    if stress is None or not _rounded_volume(atoms):
        return energy, forces, None
    return energy, forces, voigt_6_to_full_3x3_stress(stress) if stress.ndim == 1 else stress


def _graph(atoms: Atoms, cutoff: float, name: str) -> AtomicGraph:
    try:
        graph = build_graph(atoms, cutoff, dtype=torch.float32)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    if _rounded_volume(atoms):
        return graph
    # without a volume the stress and its gradient are NaN, even where they are masked; no
    # edge crosses the directions that are filled in
    return replace(graph, cell=torch.from_numpy(complete_cell(atoms.cell)).float()[None])


def _rounded_volume(atoms: Atoms) -> float:
    return round(abs(float(np.linalg.det(atoms.cell.array))), 2)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
