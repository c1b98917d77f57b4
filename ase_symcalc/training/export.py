"""From a trained network to the folder of a potential."""

from __future__ import annotations

import copy
import dataclasses
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from ase import Atoms
from ase.data import atomic_numbers

from ase_symcalc.models.base import AbstractEnergyModel
from ase_symcalc.models.heads import Heads
from ase_symcalc.potential_files import (
    AccuracyRow,
    Head,
    Potential,
    PotentialCard,
    References,
    TrainingRecord,
    join_golden,
    load_potential,
    make_golden,
    save_potential,
    write_card,
)
from ase_symcalc.potential_files.card import SCHEMA, WITHOUT_HEADS
from ase_symcalc.potential_files.error_model import write_error_models
from ase_symcalc.potential_files.readme import readme
from ase_symcalc.training.config import CardConfig, HeadConfig
from ase_symcalc.training.dataset import Frame
from ase_symcalc.training.metrics import Errors
from ase_symcalc.training.portrait import (
    microseconds_per_atom,
    plot_diatomics,
    plot_volumes,
)
from ase_symcalc.training.references import Baseline
from ase_symcalc.training.uncertainty import fit_heads

ENOUGH_ATOMS = 1000  # to time a network on

GOLDEN_COMMAND = (
    "python -c 'from ase_symcalc.potential_files import *; "
    'print(golden_deviation(load_potential("{name}")))\''
)

ARCHITECTURES = {
    "symnet": "S. Batzner et al., Nat. Commun. 13, 2453 (2022)",
    "nequip": "S. Batzner et al., Nat. Commun. 13, 2453 (2022)",
    "mace": "I. Batatia et al., Adv. Neural Inf. Process. Syst. 35 (2022), arXiv:2206.07697",
}


def make_card(
    config: CardConfig,
    heads: Heads[AbstractEnergyModel],
    frames: Sequence[Frame],
    errors: Mapping[str, Errors],
    head_of: Mapping[str, str],
) -> PotentialCard:
    """Card of networks trained on some frames.

    Parameters
    ----------
    config : CardConfig
    heads : Heads
    frames : sequence of Frame
        Those they were trained on.
    errors : mapping of str to Errors
        On what they were not trained on, by the name of the data.
    head_of : mapping of str to str
        Head that the data of these names are of.
    """
    settings = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    model = heads[heads.names[0]]
    several = heads.names != ("",)
    settings["references"] = config.references or References(
        implementation="ase_symcalc",
        architecture=ARCHITECTURES[model.config.family],
        model="not published",
    )
    rows = tuple(
        AccuracyRow(
            name,
            round(row.energy_mae, 3),
            round(row.force_mae, 3),
            _known(row.stress_mae),
            head_of.get(name) or None,
        )
        for name, row in errors.items()
        if math.isfinite(row.energy_mae + row.force_mae)  # else there was no label
    )
    settings["heads"] = tuple(
        Head(
            name,
            **dataclasses.asdict(config.heads.get(name, HeadConfig())),
            pairs=_pairs([frame for frame in frames if frame.head == name], model.elements),
        )
        for name in heads.names
        if several
    )
    return PotentialCard(
        schema=SCHEMA if several else WITHOUT_HEADS,
        elements=model.elements,
        pairs=_pairs(frames, model.elements),
        cutoff=model.cutoff,
        interaction_range=model.interaction_range,
        dtype="float32",
        accuracy=rows,
        **settings,
    )


def export(
    folder: Path,
    heads: Heads[AbstractEnergyModel],
    baselines: Mapping[str, Baseline],
    card: PotentialCard,
    learnt: Sequence[Frame],
    frames: Sequence[Frame],
    record: TrainingRecord,
) -> None:
    """Write a potential, its error model and pictures, in place of those of the same run before.

    Parameters
    ----------
    folder : Path
    heads : Heads
        With reference energies of zero; left as they are.
    baselines : mapping of str to Baseline
        Reference energies of each head, put in in float64.
    card : PotentialCard
    learnt : sequence of Frame
        Those of the training.
    frames : sequence of Frame
        Those held out: the smallest of each source become the golden structures, and errors
        of their forces calibrate the error model.
    record : TrainingRecord
        Goes on the card, with the time per atom measured on some of the frames.
    """
    heads = copy.deepcopy(heads).cpu()
    golden = {}
    for name in heads.names:
        model = heads[name]
        model.set_baseline(torch.from_numpy(baselines[name].reference_energies))
        command = GOLDEN_COMMAND.format(name=f"{card.name}@{name}" if name else card.name)
        golden[name] = make_golden(model, _smallest(frames, name), command)
    if folder.exists():
        shutil.rmtree(folder)
    if heads.names == ("",):
        card = save_potential(folder, heads[""], card, golden[""])
    else:
        card = save_potential(folder, heads, card, join_golden(golden))
    files: dict[str, str] = {}
    potentials: dict[str, Potential] = {}
    for name in heads.names:
        potential = potentials[name] = load_potential(
            f"{folder}@{name}" if name else folder, dtype=card.dtype
        )
        suffix, whose = (f"-{name}.png", f" ({name})") if name else (".png", "")
        plot_diatomics(folder / f"diatomics{suffix}", potential)
        plot_volumes(folder / f"energy-volume{suffix}", potential)
        files[f"diatomics{suffix}"] = f"Energy of two atoms against their distance{whose}"
        files[f"energy-volume{suffix}"] = f"Energy of simple lattices against volume{whose}"
    speed = round(microseconds_per_atom(potential, _some(frames, name)), 1)
    card = dataclasses.replace(
        card, training=dataclasses.replace(record, microseconds_per_atom=speed)
    )
    write_card(folder, card)
    if models := fit_heads(potentials, learnt, frames):
        write_error_models(folder, models)
    (folder / "README.md").write_bytes(readme(card, files).encode())


def _smallest(frames: Sequence[Frame], head: str) -> dict[str, Atoms]:
    """Smallest structure of each source that is of one head."""
    smallest: dict[str, Frame] = {}
    for frame in sorted(frames, key=lambda frame: frame.graph.n_atoms):
        if frame.head == head:
            smallest.setdefault(frame.source, frame)
    return {source: _atoms(frame) for source, frame in smallest.items()}


def _some(frames: Sequence[Frame], head: str) -> list[Atoms]:
    """Structures of one head, as many as make about a thousand atoms."""
    chosen: list[Atoms] = []
    n_atoms = 0
    for frame in frames:
        if frame.head == head and n_atoms < ENOUGH_ATOMS:
            chosen.append(_atoms(frame))
            n_atoms += frame.graph.n_atoms
    return chosen


def _known(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)


def _pairs(frames: Sequence[Frame], elements: Sequence[str]) -> tuple[str, ...]:
    """Pairs of elements closer than the cutoff somewhere, in the order of the elements."""
    met: set[tuple[int, int]] = set()
    for frame in frames:
        pairs = frame.graph.atomic_numbers[frame.graph.edge_index].unique(dim=1)
        met.update((centre, neighbour) for centre, neighbour in pairs.T.tolist())
    numbers = [atomic_numbers[symbol] for symbol in elements]
    return tuple(
        f"{elements[i]}-{elements[j]}"
        for i in range(len(elements))
        for j in range(i, len(elements))
        if (numbers[i], numbers[j]) in met
    )


def _atoms(frame: Frame) -> Atoms:
    graph = frame.graph
    return Atoms(
        graph.atomic_numbers.numpy(),
        positions=graph.positions.double().numpy(),
        cell=graph.cell[0].double().numpy(),
        pbc=graph.pbc[0].numpy(),
    )
