"""NequIP of versions before 0.7: deployed models, and weights beside the settings of a training.

A deployed model is a program, of which only the numbers and the settings are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from ase_symcalc.errors import PotentialFileError
from ase_symcalc.models import AbstractEnergyModel
from ase_symcalc.potential_files.convert.dialect import EdgeDialect
from ase_symcalc.potential_files.convert.e3nn_weights import Tensors, word
from ase_symcalc.potential_files.convert.nequip import refuse_selection
from ase_symcalc.potential_files.convert.nequip_old_weights import OldNequIPWeights
from ase_symcalc.potential_files.convert.nequip_weights import network
from ase_symcalc.potential_files.convert.origin import Origin
from ase_symcalc.potential_files.convert.plain_yaml import LONGEST, read_settings
from ase_symcalc.potential_files.convert.unpickle import Program, Record

FORMAT = "NequIP models of version 0.6 (deployed, or best_model.pth beside config.yaml)"
DIALECT = EdgeDialect(centre_row=0, vector="centre_to_neighbour")

_SETTINGS = "config.yaml"
_DEEPEST = 16  # modules within modules
_EXPORT = (
    "Deploy it with its own NequIP, `nequip-deploy build --train-dir FOLDER OUT.pth`, and give "
    "that file."
)


def locate(name: str) -> Path | None:
    """Find nothing: no NequIP model comes with a package."""
    return None


def recognises(content: Any) -> bool:
    """Whether content is of such a version, also if it cannot be converted."""
    if isinstance(content, Program):
        return True
    return isinstance(content, dict) and any(
        isinstance(name, str) and "convnet." in name for name in content
    )


def convert(content: Any, where: str, selection: str | None) -> tuple[AbstractEnergyModel, Origin]:
    """Build the network of a model.

    Parameters
    ----------
    content : Program or dict
        From `read_checkpoint`. To a state dict belongs a file config.yaml in the same folder.
    where : str
        The file, for messages.
    selection : str or None
        Must be None.

    Raises
    ------
    PotentialFileError
        If settings or tensors are not those of a network that is known here.
    """
    refuse_selection(where, selection)
    version = "0.6 or older"
    try:
        if isinstance(content, Program):
            version = word(content.extra["nequip_version"].decode())
            text = content.extra["config"].decode()
            named = dict(_tensors(content.module))
        else:
            text, named = _beside(Path(where)), content
        tensors = Tensors(where, _inner(named))
        weights = OldNequIPWeights(read_settings(text), tensors, DIALECT)
        config, numbers = weights.read()
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        if isinstance(error, PotentialFileError):
            raise
        raise PotentialFileError(
            f"{where}: expected a NequIP network of a kind known here, got: {str(error)[:300]}"
        ) from error
    tensors.finish(_is_constant)
    origin = Origin(
        package=f"NequIP {version}",
        licence="NequIP is under the MIT licence; for the weights ask whoever trained them",
        implementation="github.com/mir-group/nequip",
        architecture="Batzner et al., Nat. Commun. 13, 2453 (2022)",
    )
    return network(config, numbers), origin


def _beside(path: Path) -> str:
    """Text of the settings in a training's folder."""
    settings = path.parent / _SETTINGS
    try:
        with settings.open(encoding="utf-8") as file:
            return file.read(LONGEST + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise PotentialFileError(
            f"{path} holds weights of NequIP 0.6 or older without their settings: expected them in "
            f"{_SETTINGS} in the same folder, as the training wrote it, got: {reason}. {_EXPORT}"
        ) from error


def _tensors(module: Any, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    """All tensors of a program's module by name."""
    if not isinstance(module, Record) or depth > _DEEPEST:
        raise ValueError("a program without the modules of a network")
    for name, value in module.state.items():
        if isinstance(value, Tensor):
            yield f"{prefix}{name}", value
        elif isinstance(value, Record):
            yield from _tensors(value, f"{prefix}{name}.", depth + 1)


def _inner(named: Any) -> Any:
    """Names as they are within the network; what wraps it keeps the end of its names."""
    if not isinstance(named, dict):
        return named
    out: dict[str, Any] = {}
    for name, value in named.items():
        _, inside, inner = str(name).rpartition("func.")
        key = inner if inside else f"outside.{name}"
        if key in out:
            raise ValueError(f"two tensors called {str(key)[:80]!r}")
        out[key] = value
    return out


def _is_constant(name: str, _: Tensor) -> bool:
    return name.endswith("output_mask") or "._compiled_main_left_right." in name
