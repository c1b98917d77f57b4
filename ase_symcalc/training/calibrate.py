"""Expected errors for a potential that was trained before."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ase_symcalc.errors import InputError
from ase_symcalc.potential_files import Potential, load_potential
from ase_symcalc.potential_files.error_model import ErrorModel, write_error_models
from ase_symcalc.training.config import TrainConfig
from ase_symcalc.training.run import prepare
from ase_symcalc.training.start import load_starts
from ase_symcalc.training.uncertainty import fit_heads


def calibrate(folder: str | os.PathLike[str], config: TrainConfig) -> dict[str, ErrorModel]:
    """Store with a potential what errors of its forces are to be expected.

    Parameters
    ----------
    folder : str or path
        Of the potential; gets the file, and its card the hash.
    config : TrainConfig
        That of the training: data, seed and split say which frames were held out.

    Returns
    -------
    dict of str to ErrorModel
        By head; ``""`` if there are none.

    Raises
    ------
    InputError
        If the configuration is of another network, or no frames have forces.
    PotentialFileError
        If there is no such potential.
    """
    heads = config.model.heads or ("",)
    potentials = {
        head: load_potential(f"{folder}@{head}" if head else folder, dtype="float32")
        for head in heads
    }
    _check_same(potentials, config)
    starts = load_starts(config.start.potential, config.model.heads) if config.start else {}
    data = prepare(config, starts)
    models = fit_heads(potentials, (*data.learnt.frames, *data.learnt.replay), data.validation)
    if not models:
        raise InputError("expected frames with forces to train on and to validate, found none")
    write_error_models(folder, models)
    return models


def _check_same(potentials: Mapping[str, Potential], config: TrainConfig) -> None:
    for potential in potentials.values():
        for name in ("elements", "cutoff"):
            ours, theirs = getattr(potential.model, name), getattr(config.model, name)
            if ours != theirs:
                raise InputError(
                    f"expected the configuration that {potential.card.name} was trained with: "
                    f"{name} {ours}; got {theirs}"
                )
