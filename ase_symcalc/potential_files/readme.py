"""The card of a potential as a page for people."""

from __future__ import annotations

from collections.abc import Mapping

from ase_symcalc.potential_files.card import PotentialCard, TrainingRecord


def readme(card: PotentialCard, files: Mapping[str, str] | None = None) -> str:
    """Markdown text that says what `card` says.

    Parameters
    ----------
    card : PotentialCard
    files : mapping of str to str, optional
        What pictures and tables beside the card show, by their names.
    """
    preview = "\n\n**A preview**: a later version will be better." if card.preview else ""
    rows = [
        f"| {row.dataset} | {row.energy:.1f} | {row.forces:.0f} | "
        f"{'' if row.stress is None else f'{row.stress:.2f}'} |"
        for row in card.accuracy
    ]
    return "\n".join(
        [
            f"# {card.name} {card.version}",
            "",
            card.description + preview,
            "",
            f"- Elements: {', '.join(card.elements)}",
            "- Pairs of elements that met in the training data: "
            f"{', '.join(card.pairs) or 'not stated'}",
            f"- Cutoff {card.cutoff:g} Å, interaction range {card.interaction_range:g} Å, "
            f"weights in {card.dtype}",
            f"- Level of theory: {card.level_of_theory}",
            f"- Training data: {card.training_data}",
            *(
                f"- `{card.name}@{head.name}`: {head.level_of_theory}; {head.training_data}"
                for head in card.heads
            ),
            f"- Its limits: {card.limits}",
            f"- Not for: {card.not_for}",
            f"- Licence: {card.licence}; authors: {', '.join(card.authors)}",
            *([] if card.training is None else _history(card.training)),
            "",
            "Mean absolute errors on data that it was not trained on:",
            "",
            "| data | energy, meV/atom | forces, meV/Å | stress, GPa |",
            "|---|--:|--:|--:|",
            *rows,
            "",
            *_linked(files or {}),
            f"To make it again: `{card.reproduce}`",
            "",
            "To cite:",
            "",
            f"- implementation: {card.references.implementation}",
            f"- architecture: {card.references.architecture}",
            f"- model: {card.references.model}",
            "",
        ]
    )


def _history(training: TrainingRecord) -> list[str]:
    return [
        f"- Speed: {training.microseconds_per_atom:.0f} µs/atom for energy, forces and stress on "
        f"{training.machine}, without use of symmetry",
        f"- Trained for {training.epochs} epochs, {training.minutes:.0f} minutes on "
        f"{training.machine}; seed {training.seed}; sha256 of the data {training.data_sha256}",
    ]


def _linked(files: Mapping[str, str]) -> list[str]:
    lines: list[str] = []
    for name, what in files.items():
        mark = "!" if name.endswith(".png") else ""
        lines += [f"{mark}[{what}]({name})", ""]
    return lines
