"""What a potential knows of its errors, in the file ``uncertainty.safetensors`` beside its card."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64, Int64
from safetensors import torch as safetensors
from torch import Tensor

from ase_symcalc.errors import PotentialFileError
from ase_symcalc.potential_files.card import PotentialCard, read_card, write_card

UNCERTAINTY = "uncertainty.safetensors"

_SHAPES = {
    "exponent": "",
    "elements": "e",
    "prefactors": "e",
    "limits": "e",
    "components": "c",
    "offsets": "c",
    "means": "cf",
    "factors": "ct",
}
"""Of each tensor in the file: e elements, c components of all mixtures, f features, t numbers in
a triangle of them, row by row."""


@dataclass(frozen=True, slots=True, eq=False)
class ErrorModel:
    """A Gaussian mixture of invariant features for each element, and what errors go with it.

    `evaluation.uncertainty` has the formulas.
    """

    exponent: float
    """of the law of errors, the same for all elements"""
    elements: Int64[np.ndarray, "n_elements"]
    """atomic numbers of those in the training data"""
    prefactors: Float64[np.ndarray, "n_elements"]
    """of the law of errors, eV/Å"""
    limits: Float64[np.ndarray, "n_elements"]
    """squared distance beyond which an atom is unlike those of the training"""
    components: Int64[np.ndarray, "n_components"]
    """atomic number whose mixture each Gaussian is part of"""
    offsets: Float64[np.ndarray, "n_components"]
    """logarithm of weight and height"""
    means: Float64[np.ndarray, "n_components n_features"]
    factors: Float64[np.ndarray, "n_components n_features n_features"]
    """lower triangles A, with A Aᵀ the inverse of the covariance"""


def write_error_models(
    folder: str | os.PathLike[str], models: Mapping[str, ErrorModel]
) -> PotentialCard:
    """Put error models beside a card, in place of earlier ones, and their hash on it.

    Parameters
    ----------
    folder : str or path
        Of the potential.
    models : mapping of str to ErrorModel
        Of each head; ``""`` if there are none.

    Returns
    -------
    PotentialCard
        The card as written.
    """
    folder = Path(folder)
    card = read_card(folder)
    content = safetensors.save(
        {
            _key(head, field.name): _tensor(field.name, getattr(model, field.name))
            for head, model in models.items()
            for field in fields(model)
        }
    )
    card = replace(card, sha256={**card.sha256, UNCERTAINTY: hashlib.sha256(content).hexdigest()})
    partial = folder / f".{UNCERTAINTY}"
    partial.write_bytes(content)
    partial.replace(folder / UNCERTAINTY)
    write_card(folder, card)
    return card


def error_model(
    path: Path, tensors: Mapping[str, Tensor], head: str | None, n_features: int
) -> ErrorModel | None:
    """Error model of one head, out of the tensors of a file; None if it has none.

    Raises
    ------
    PotentialFileError
        If a tensor is missing, of the wrong shape, or not finite.
    """
    own = {name: tensors.get(_key(head or "", name)) for name in _SHAPES}
    if head is not None and all(tensor is None for tensor in own.values()):
        return None
    rows, columns = np.tril_indices(n_features)
    sizes = {"f": n_features, "t": len(rows)}
    arrays: dict[str, np.ndarray] = {}
    for name, axes in _SHAPES.items():
        tensor = own[name]
        if tensor is None or tensor.dim() != len(axes) or not torch.isfinite(tensor).all():
            got = "none" if tensor is None else f"one of shape {tuple(tensor.shape)}"
            raise PotentialFileError(
                f"{path}: expected a tensor {name!r} of {len(axes)} axes and finite numbers, got "
                f"{got}. Fetch the potential again from where it came."
            )
        for axis, size in zip(axes, tensor.shape, strict=True):
            if sizes.setdefault(axis, size) != size:
                raise PotentialFileError(
                    f"{path}: expected {sizes[axis]} along an axis of {name!r}, got {size}. The "
                    "file is that of another potential; fetch it again from where it came."
                )
        kind = np.int64 if name in ("elements", "components") else np.float64
        arrays[name] = tensor.to(torch.float64).numpy().astype(kind)
    factors = np.zeros((sizes["c"], n_features, n_features))
    factors[:, rows, columns] = arrays.pop("factors")
    return ErrorModel(exponent=float(arrays.pop("exponent")), factors=factors, **arrays)


def _key(head: str, name: str) -> str:
    return f"heads.{head}.{name}" if head else name


def _tensor(name: str, value: np.ndarray | float) -> Tensor:
    if name != "factors":
        return torch.from_numpy(np.array(value))
    matrices = np.asarray(value)
    rows, columns = np.tril_indices(matrices.shape[-1])
    # float32, for it is by far the largest
    return torch.from_numpy(matrices[:, rows, columns]).float().contiguous()
