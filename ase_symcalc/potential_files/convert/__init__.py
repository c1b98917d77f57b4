"""Checkpoints of other packages, read as data: one file for each format."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import torch

from ase_symcalc.errors import PotentialFileError
from ase_symcalc.models import AbstractEnergyModel
from ase_symcalc.potential_files.card import PotentialCard
from ase_symcalc.potential_files.convert import mace, nequip, nequip_old, sevennet
from ase_symcalc.potential_files.convert.origin import card_of
from ase_symcalc.potential_files.convert.splines import BOTH, with_splines
from ase_symcalc.potential_files.convert.unpickle import read_checkpoint

CONVERTERS: tuple[ModuleType, ...] = (sevennet, mace, nequip, nequip_old)
"""Each has ``FORMAT`` (what it reads, in words), ``DIALECT``, ``recognises(content)``,
``convert(content, where, selection) -> (model, origin)`` and ``locate(name) -> path or None``."""

_STRANGE = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What settings without meaning may lead to."""


def convert_file(
    source: str | os.PathLike[str],
    selection: str | None = None,
    *,
    name: str | None = None,
    dtypes: Collection[torch.dtype] = BOTH,
) -> tuple[AbstractEnergyModel, PotentialCard]:
    """Read a checkpoint that another package wrote; nothing in it is executed.

    Parameters
    ----------
    source : str or path
    selection : str, optional
        Which of its levels of theory (a modality or head), if it has several.
    name : str, optional
        For the card; the file's name if left out.
    dtypes : collection of torch.dtype
        In which it is to be fast: how fine the splines of radial functions must be there is
        found out, which takes a second. In others they are evaluated exactly, by torch.

    Returns
    -------
    model : AbstractEnergyModel
        In float64.
    card : PotentialCard
        With the hash of the source.

    Raises
    ------
    PotentialFileError
        If the file is missing, damaged, or holds a network that is not known here.
    """
    path = Path(source).expanduser()
    content = read_checkpoint(path)
    for converter in CONVERTERS:
        if converter.recognises(content):
            break
    else:
        known = "; ".join(converter.FORMAT for converter in CONVERTERS)
        raise PotentialFileError(
            f"{path}: expected a checkpoint of a kind known here ({known}), got another"
        )
    try:
        model, origin = converter.convert(content, str(path), selection)
    except _STRANGE as error:
        raise PotentialFileError(
            f"{path} holds a network that cannot be converted: {str(error)[:300]}"
        ) from error
    model = model.double().requires_grad_(False)
    model, sentence = with_splines(model, dtypes)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    full = "-".join(filter(None, (name or path.stem, selection)))
    card = card_of(model, origin, path, digest, full, sentence)
    return model, replace(card, sha256={path.name: digest})


def locate(name: str) -> Path | None:
    """File of a checkpoint that comes with another package, if there is one of this name.

    Raises
    ------
    PotentialFileError
        If the name is known, but the file is not on this machine.
    """
    return next((path for each in CONVERTERS if (path := each.locate(name))), None)
