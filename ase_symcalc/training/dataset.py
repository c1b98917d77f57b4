"""Labelled frames: read, turned into graphs, packed into mini-batches."""

from __future__ import annotations

import hashlib
import io
import lzma
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import ase.io
import numpy as np
import torch
from ase import Atoms
from ase.geometry import complete_cell
from jaxtyping import Float, Float32
from torch import Tensor

from ase_symcalc.errors import InputError
from ase_symcalc.graph import AtomicGraph, join_graphs
from ase_symcalc.structures import build_graph
from ase_symcalc.training.config import DataFile
from ase_symcalc.training.labels import read_labels
from ase_symcalc.training.primitive import primitive_frame

COUNTER = re.compile(r"\b(snapshot|step|frame|image|ionic)\w*[ _=:#]*\d+", re.IGNORECASE)
RUN_KEYS = ("run", "run_id", "trajectory", "traj", "traj_id")
STEP_KEYS = ("step", "md_step", "ionic_step", "snapshot")
RUN_FILES = ("OUTCAR", "vasprun")  # what a program writes while atoms move is one run


@dataclass(frozen=True, slots=True)
class Frame:
    """One structure with its labels. The graph and its labels are float32, energies not."""

    graph: AtomicGraph
    energy: float | None
    """eV; less the reference energies where these were subtracted; None if not known"""
    forces: Float32[Tensor, "n_atoms 3"] | None
    """eV/Å; None if not known"""
    stress: Float32[Tensor, "3 3"] | None
    """eV/Å³; None if not known"""
    deviatoric: bool
    """only the traceless part of the stress is known"""
    weight: float
    head: str
    """level of theory"""
    source: str
    """file it came from, as short as folder and stem"""
    config_type: str
    name: str
    """number and file, for messages"""
    number: int
    """place in the file"""
    run: str
    """what frames of one trajectory share; empty if nothing tells of one"""

    @property
    def volume(self) -> float:
        """Å³; 1 or more in the directions of a molecule that have no cell."""
        return abs(float(np.linalg.det(self.graph.cell[0].double().numpy())))


@dataclass(frozen=True, slots=True)
class Batch:
    """Frames joined, with their labels. What is missing is zero, and so is its mask."""

    graph: AtomicGraph
    energy: Float32[Tensor, "n_structures"]
    forces: Float32[Tensor, "n_atoms 3"]
    stress: Float32[Tensor, "n_structures 3 3"]
    has_energy: Float32[Tensor, "n_structures"]
    has_forces: Float32[Tensor, "n_structures"]
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
    primitive: bool = False,
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
    primitive : bool
        Supercells that repeat a smaller cell, labels included, are cut down to it.

    Raises
    ------
    InputError
        Naming file and frame, if there is another element, no label, or one that cannot be
        right by itself: see `labels.read_labels`.
    """
    source = "/".join(Path(file.path).parts[-2:]).split(".")[0]
    frames = []
    for number, atoms in enumerate(read_atoms(file)):
        name = f"frame {number} of {file.path}[{file.index}]"
        if unknown := sorted(set(atoms.symbols) - set(elements)):
            raise InputError(
                f"{name} holds {', '.join(unknown)}, but model.elements lists only "
                f"{', '.join(elements)}. Name all there; or, if a potential is trained further, "
                "leave such frames out or train a new one on all data: it learns no new elements"
            )
        labels = read_labels(atoms, name, file)
        if labels.forces is not None and np.linalg.norm(labels.forces, axis=1).max() > max_force:
            continue
        if primitive:
            atoms, labels = primitive_frame(atoms, labels)
        config_type = str(atoms.info.get("config_type", ""))
        frames.append(
            Frame(
                graph=_graph(atoms, cutoff, name),
                energy=labels.energy,
                forces=None if labels.forces is None else torch.from_numpy(labels.forces).float(),
                stress=None if labels.stress is None else torch.from_numpy(labels.stress).float(),
                deviatoric=file.stress == "deviatoric",
                weight=weights.get(config_type, 1.0),
                head=file.head,
                source=source,
                config_type=config_type,
                name=name,
                number=number,
                run=_run(atoms, file.path),
            )
        )
    return frames


def epoch_order(n_frames: int, seed: int, epoch: int) -> list[int]:
    """Order of the frames in an epoch: a function of seed and epoch, so a resume finds it."""
    generator = torch.Generator().manual_seed(int(hash_text(f"{seed} {epoch}")[:15], 16))
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

    def known(labels: Sequence[object]) -> Float32[Tensor, "n_structures"]:
        return torch.tensor([float(label is not None) for label in labels], device=device)

    forces = [torch.zeros_like(f.graph.positions) if f.forces is None else f.forces for f in frames]
    zero = torch.zeros(3, 3)
    return Batch(
        graph=join_graphs([f.graph for f in frames]).to(device, torch.float32),
        energy=torch.tensor([f.energy or 0.0 for f in frames], device=device),
        forces=torch.cat(forces).to(device),
        stress=torch.stack([zero if f.stress is None else f.stress for f in frames]).to(device),
        has_energy=known([f.energy for f in frames]),
        has_forces=known([f.forces for f in frames]),
        has_stress=known([f.stress for f in frames]),
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


def _graph(atoms: Atoms, cutoff: float, name: str) -> AtomicGraph:
    try:
        graph = build_graph(atoms, cutoff, dtype=torch.float32)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    if abs(np.linalg.det(atoms.cell.array)) > 0:
        return graph
    # without a volume the stress and its gradient are NaN, even where they are masked; no
    # edge crosses the directions that are filled in
    return replace(graph, cell=torch.from_numpy(complete_cell(atoms.cell)).float()[None])


def hash_text(text: str) -> str:
    """SHA-256 of a text, in hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def _run(atoms: Atoms, path: str) -> str:
    """Trajectory that a frame says it is of: by a key, a step, or a counted description."""
    info, formula = atoms.info, atoms.get_chemical_formula()
    for key in RUN_KEYS:
        if key in info:
            return f"{path} {formula} {info[key]}"
    text = f"{info.get('config_type', '')} {info.get('description', '')}"
    told = COUNTER.search(text) or any(key in info for key in STEP_KEYS)
    if told or Path(path).name.startswith(RUN_FILES):
        return f"{path} {formula} {COUNTER.sub('', text)}"
    return ""
