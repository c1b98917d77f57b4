"""From a network to the files of a potential."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors import torch as safetensors

from ase_symcalc.errors import InputError
from ase_symcalc.models import AbstractEnergyModel, NetworkConfig
from ase_symcalc.models.heads import Heads, join_heads
from ase_symcalc.potential_files.card import PotentialCard, write_card
from ase_symcalc.potential_files.load import CONFIG, GOLDEN, WEIGHTS, check_agreement
from ase_symcalc.potential_files.readme import readme


def save_potential(
    folder: str | os.PathLike[str],
    model: AbstractEnergyModel | Heads[AbstractEnergyModel],
    card: PotentialCard,
    golden: Mapping[str, Any],
) -> PotentialCard:
    """Write a potential; the folder is there complete or not at all.

    Parameters
    ----------
    folder : str or path
        Must not exist yet; folders above it are made.
    model : AbstractEnergyModel or Heads
        Its weights are stored in the dtype they have; those that heads share, once.
    card : PotentialCard
        Hashes on it are replaced by those of the files.
    golden : mapping
        From `make_golden`, or from `join_golden` if there are heads.

    Returns
    -------
    PotentialCard
        The card as written.

    Raises
    ------
    InputError
        If the folder exists.
    PotentialFileError
        If card and model do not agree.
    """
    folder = Path(folder).absolute()
    if folder.exists():
        raise InputError(
            f"expected a folder that does not exist yet, got {folder}. "
            "Choose another, or remove it if nobody needs it any more."
        )
    heads: tuple[str, ...] = ()
    if isinstance(model, Heads):
        heads, state = model.names, join_heads(model)
        model = model[heads[0]]
        config: NetworkConfig = replace(model.config, heads=heads)  # type: ignore[call-arg]
    else:
        config, state = model.config, model.state_dict()
    check_agreement(card, model, heads, folder)
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
    contents = {
        CONFIG: _json(config.to_dict(), indent=2),
        WEIGHTS: safetensors.save(tensors),
        GOLDEN: _json(golden, indent=1),
    }
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    card = replace(card, sha256=hashes)
    partial = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    partial.mkdir(parents=True)
    try:
        for name, content in contents.items():
            (partial / name).write_bytes(content)
        (partial / "README.md").write_bytes(readme(card).encode())
        write_card(partial, card)
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return card


def _json(content: Mapping[str, Any], indent: int) -> bytes:
    return (json.dumps(content, indent=indent, allow_nan=False) + "\n").encode()
