"""From the files of a potential to a network ready to use."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from e3nn.o3 import Irrep, Irreps
from safetensors import SafetensorError
from safetensors import torch as safetensors
from torch import Tensor

from ase_symcalc.errors import InputError, PotentialFileError
from ase_symcalc.models import AbstractEnergyModel, ModelConfig, build_model, config_from_dict
from ase_symcalc.models.heads import cut_head
from ase_symcalc.potential_files.card import PotentialCard, card_of_head, read_card
from ase_symcalc.potential_files.convert import convert_file
from ase_symcalc.potential_files.error_model import UNCERTAINTY, ErrorModel, error_model
from ase_symcalc.potential_files.find import (
    Checkpoint,
    find_checkpoint,
    find_head,
    is_installed,
)
from ase_symcalc.potential_files.tables import read_json

CONFIG, WEIGHTS, GOLDEN = "config.json", "weights.safetensors", "golden.json"
HASHED = (CONFIG, WEIGHTS, GOLDEN)
DTYPES = {"float64": torch.float64, "float32": torch.float32}
LONGEST_HEADER = 10_000_000  # bytes; ours have a few thousand
FETCH = "The file is damaged or was changed; fetch the potential again from where it came."


@dataclass(frozen=True, slots=True, eq=False)
class Potential:
    """A network and the card that goes with it."""

    card: PotentialCard
    model: AbstractEnergyModel
    folder: Path | None
    """None if it was never saved"""
    device: torch.device
    dtype: torch.dtype
    address: str | None = None
    """what `load_potential` finds a head, or a checkpoint of another package, by"""
    head: str | None = None
    """which of several it was cut out of"""
    error_model: ErrorModel | None = None
    """what it knows of its own errors, if that was stored with it"""

    def __repr__(self) -> str:
        precision = str(self.dtype).removeprefix("torch.")
        return f"Potential({self.card.name} {self.card.version}, {precision} on {self.device})"

    @property
    def digest(self) -> str:
        """SHA-256 of the card's table of hashes: the same if and only if files and head are."""
        table = json.dumps(dict(self.card.sha256), sort_keys=True)
        return hashlib.sha256(f"{table}{self.head or ''}".encode()).hexdigest()


def load_potential(
    name_or_path: str | os.PathLike[str],
    *,
    device: str | torch.device = "cpu",
    dtype: str = "float64",
) -> Potential:
    """Read a potential; hashes are verified before anything is parsed, nothing is executed.

    Parameters
    ----------
    name_or_path : str or path
        As `find_head` takes it; or a checkpoint of another package, as
        `find_checkpoint` takes it, which is converted on the way. Of a potential with
        several levels of theory, the network of the one behind the ``@`` is cut out.
    device : str or torch.device
    dtype : {"float64", "float32"}
        Of the network; the stored weights are converted.

    Returns
    -------
    Potential
        In evaluation mode, no weight requires a gradient.

    Raises
    ------
    PotentialFileError
        If there is no such potential, a file is missing, truncated, has a wrong hash or a
        newer schema, its contents do not fit the network it describes, or it has no such
        head.
    InputError
        If the device or dtype cannot be had.
    """
    target, precision = target_of(device, dtype)
    if checkpoint := find_checkpoint(name_or_path):
        return _converted(checkpoint, target, precision)
    folder, wanted = find_head(name_or_path)
    card = read_card(folder)
    head = _head(card, wanted, folder)
    contents = {name: _verified(folder / name, card.sha256.get(name)) for name in HASHED}
    for name in sorted(set(card.sha256) - set(HASHED)):
        contents[name] = _verified(folder / name, card.sha256[name])
    with _on_cpu():
        model, heads = _network(folder / CONFIG, contents[CONFIG])
        check_agreement(card, model, heads, folder)
        tensors = _tensors(folder / WEIGHTS, contents[WEIGHTS])
        if head is not None:
            tensors = cut_head(tensors, head, heads)
        _check_fit(folder / WEIGHTS, tensors, model.state_dict())
        model = ready(model, tensors, target, precision)
        errors = None
        if UNCERTAINTY in contents:
            path = folder / UNCERTAINTY
            stored = _tensors(path, contents[UNCERTAINTY])
            errors = error_model(path, stored, head, _n_invariant(model))
    address = None
    if head is not None:
        address = f"{card.name if is_installed(folder) else folder}@{head}"
        card = card_of_head(card, head)
    return Potential(card, model, folder, target, precision, address, head, errors)


@contextmanager
def _on_cpu() -> Iterator[None]:
    """Make tensors where files are read, whatever torch's default device is.

    And none in inference mode, or nobody could differentiate the model later.
    """
    with torch.inference_mode(False), torch.device("cpu"):
        yield


def _head(card: PotentialCard, wanted: str | None, folder: Path) -> str | None:
    """Name of the head to cut out; None if there is one readout only."""
    names = [head.name for head in card.heads]
    head = wanted or card.default_head
    if head is None and not names:
        return None
    if head in names:
        return head
    if not names:
        raise PotentialFileError(
            f"{folder}: expected no head to be named, because {card.name} has none, got @{head}"
        )
    asked = f"got @{head}" if head else "got none"
    raise PotentialFileError(
        f"{folder}: expected one of the heads of {card.name}, {asked}. Each is a level of theory "
        f"with an energy of its own: {', '.join(f'{card.name}@{name}' for name in names)}."
    )


def _converted(checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> Potential:
    path, selection, name, address = checkpoint
    with _on_cpu():
        model, card = convert_file(path, selection, name=name, dtypes=(dtype,))
        model = ready(model, model.state_dict(), device, dtype)
    return Potential(card, model, None, device, dtype, address)


def ready(
    model: AbstractEnergyModel,
    tensors: Mapping[str, Tensor],
    device: torch.device,
    dtype: torch.dtype,
) -> AbstractEnergyModel:
    """Put tensors into a model that nobody trains any more."""
    model.to(device, dtype).load_state_dict(tensors)
    return model.eval().requires_grad_(False)


def check_agreement(
    card: PotentialCard, model: AbstractEnergyModel, heads: Sequence[str], where: Path
) -> None:
    """Raise PotentialFileError if a card speaks of another network or other heads."""
    if [head.name for head in card.heads] != list(heads):
        raise PotentialFileError(
            f"{where}: expected card and network to have the same heads, got "
            f"{', '.join(head.name for head in card.heads) or 'none'} on the card and "
            f"{', '.join(heads) or 'none'} of the network. Correct the card."
        )
    for name in ("elements", "cutoff", "interaction_range"):
        said, has = getattr(card, name), getattr(model, name)
        if said != has:
            raise PotentialFileError(
                f"{where}: expected card and network to agree, got {name} = {said} on the card "
                f"and {has} of the network. Correct the card."
            )


def target_of(device: str | torch.device, dtype: str) -> tuple[torch.device, torch.dtype]:
    """Device and dtype as torch has them; InputError if this machine does not."""
    if dtype not in DTYPES:
        raise InputError(f"expected dtype to be {' or '.join(DTYPES)}, got {dtype!r}")
    try:
        target = torch.device(device)
        torch.empty(0, device=target, dtype=DTYPES[dtype])
    except (AssertionError, RuntimeError, TypeError) as error:
        raise InputError(
            f"expected a device that this machine has and that can do {dtype}, "
            f"got {str(device)!r}: {error}. device='cpu' always works."
        ) from error
    return target, DTYPES[dtype]


def _verified(path: Path, digest: str | None) -> bytes:
    if digest is None:
        raise PotentialFileError(
            f"{path.parent}: expected the card to have the sha256 of {path.name}, found none. "
            "Fetch the potential again from where it came."
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PotentialFileError(
            f"expected to read {path}, which the card names, got: {error}. "
            "Fetch the potential again from where it came."
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise PotentialFileError(
            f"{path}: expected sha256 {digest}, got {found} of {len(content)} bytes. {FETCH}"
        )
    return content


def _network(path: Path, content: bytes) -> tuple[AbstractEnergyModel, tuple[str, ...]]:
    """Network of one head, and the names of all."""
    try:
        config = config_from_dict(read_json(content))
        if isinstance(config, ModelConfig):
            return build_model(replace(config, heads=())), config.heads
        return build_model(config), ()
    except (InputError, ValueError, TypeError, RecursionError) as error:
        raise PotentialFileError(
            f"{path}: expected the settings of a network, got: {error}. {FETCH}"
        ) from error


def _tensors(path: Path, content: bytes) -> dict[str, Tensor]:
    header = int.from_bytes(content[:8], "little")
    longest = min(len(content) - 8, LONGEST_HEADER)
    if header > longest:
        raise PotentialFileError(
            f"{path}: expected a header of at most {max(longest, 0)} bytes, got one that says "
            f"it has {header}. {FETCH}"
        )
    try:
        return safetensors.load(content)
    except (SafetensorError, KeyError) as error:
        raise PotentialFileError(f"{path}: expected safetensors, got: {error}. {FETCH}") from error


def _n_invariant(model: AbstractEnergyModel) -> int:
    """How many features of the last layer no rotation or mirror changes."""
    return sum(mul for mul, irrep in Irreps(model.irreps) if irrep == Irrep("0e"))


def _check_fit(path: Path, tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    for name in sorted(tensors.keys() | wanted.keys()):
        got = f"shape {tuple(tensors[name].shape)}" if name in tensors else "none"
        expected = f"shape {tuple(wanted[name].shape)}" if name in wanted else "none"
        if got != expected:
            raise PotentialFileError(
                f"{path}: expected a tensor {name!r} of {expected}, got {got}. "
                f"The weights are not those of {CONFIG}. {FETCH}"
            )
        if not torch.isfinite(tensors[name]).all():
            raise PotentialFileError(
                f"{path}: expected finite numbers in {name!r}, got some that are not. {FETCH}"
            )
