"""The state of a run on disk, complete or not there at all."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import torch

from ase_symcalc.errors import InputError

SCHEMA = 1


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write to a file beside it, then rename: a kill leaves the old checkpoint or the new."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as stream:
        torch.save({"schema": SCHEMA, **state}, stream)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)


def read_checkpoint(path: Path, digest: str, device: torch.device | str) -> dict[str, Any]:
    """Read the state back; tensors and plain containers only.

    Raises
    ------
    InputError
        If the file is damaged, or belongs to a run with another configuration or data.
    """
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        # torch's own words advise to execute what is in the file
        raise InputError(
            f"the checkpoint {path} cannot be read: it is damaged, or none of ours; "
            "start again with --no-resume"
        ) from error
    schema = state.get("schema") if isinstance(state, dict) else None
    if schema != SCHEMA:
        raise InputError(
            f"the checkpoint {path} has schema {schema}, this version reads {SCHEMA}; "
            "start again with --no-resume"
        )
    if state["digest"] != digest:
        raise InputError(
            f"the checkpoint {path} belongs to a run with another configuration or other data; "
            "start again with --no-resume, or give another folder"
        )
    return state
