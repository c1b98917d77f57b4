"""Where potentials are looked for, and in which order."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ase_symcalc.errors import PotentialFileError
from ase_symcalc.potential_files.card import CARD, PotentialCard, read_card
from ase_symcalc.potential_files.convert import locate

ENVIRONMENT = "ASE_SYMCALC_POTENTIALS"
PACKAGE = Path(__file__).resolve().parent.parent

logger = logging.getLogger(__name__)


class Checkpoint(NamedTuple):
    """A file that another package wrote."""

    path: Path
    selection: str | None
    """which of its levels of theory, if one was named"""
    name: str
    """what to call it"""
    address: str
    """what finds it again"""


def find_checkpoint(name_or_path: str | os.PathLike[str]) -> Checkpoint | None:
    """File of another package, if one is meant.

    Parameters
    ----------
    name_or_path : str or path
        The path of a file that lies in no potential's folder, or a name such as "7net-0"
        that none of our own potentials has. ``@`` and the name of a modality or head may
        follow.

    Raises
    ------
    PotentialFileError
        If the name is that of another package's potential, but its file is not here.
    """
    text = os.fspath(name_or_path)
    for start, chosen in _readings(text):
        path = Path(start).expanduser()
        if path.is_file() and not (path.parent / CARD).is_file():
            suffix = f"@{chosen}" if chosen else ""
            return Checkpoint(path.absolute(), chosen, path.stem, f"{path.absolute()}{suffix}")
        is_name = isinstance(name_or_path, str) and path.name == start
        if is_name and not _is_known(start) and (located := locate(start)):
            return Checkpoint(located, chosen, start, text)
    return None


def find_potential(name_or_path: str | os.PathLike[str]) -> Path:
    """Folder of a potential.

    Parameters
    ----------
    name_or_path : str or path
        A path (anything with a separator in it, or a path object) names the folder or a
        file in it. Anything else is a name: that on a card in the folder that the
        environment variable ``ASE_SYMCALC_POTENTIALS`` names, else among those shipped, else
        a folder in the working directory. ``"default"`` is the first that says it is.

    Raises
    ------
    PotentialFileError
        If there is no such potential; the message lists those there are.
    """
    text = os.fspath(name_or_path)
    if not isinstance(name_or_path, str) or Path(text).name != text:
        return _folder_at(Path(text).expanduser())
    known = list(_installed())
    for folder, card in known:
        if card.name == text or (text == "default" and card.default):
            return folder
    if (Path(text) / CARD).is_file():
        return Path(text).absolute()
    names = ", ".join(sorted({card.name for _, card in known})) or "none"
    places = ", ".join(str(place) for place in _places()) or "no folder"
    raise PotentialFileError(
        f"expected the name of a potential or the path of its folder, got {text!r}. "
        f"Known by name: {names} (in {places}; set {ENVIRONMENT} to a folder of your own)."
    )


def find_head(name_or_path: str | os.PathLike[str]) -> tuple[Path, str | None]:
    """Folder of a potential, and the head of it that is meant.

    Parameters
    ----------
    name_or_path : str or path
        As `find_potential` takes it; ``@`` and the name of a head may follow.

    Raises
    ------
    PotentialFileError
        If there is no such potential.
    """
    text = os.fspath(name_or_path)
    base, head = _readings(text)[-1]
    if head is None or Path(text).expanduser().exists():
        return find_potential(name_or_path), None
    return find_potential(base if isinstance(name_or_path, str) else Path(base)), head


def is_installed(folder: Path) -> bool:
    """Whether the folder of a potential is one that its name finds."""
    return any(place == folder for place, _ in _installed())


def list_potentials() -> list[PotentialCard]:
    """Cards of all potentials that are known by name, the default first.

    A folder whose card cannot be read is left out, and a log line says why.

    Raises
    ------
    PotentialFileError
        If ``ASE_SYMCALC_POTENTIALS`` does not name a folder.
    """
    first: dict[str, PotentialCard] = {}
    for _, card in _installed():
        first.setdefault(card.name, card)
    return sorted(first.values(), key=lambda card: (not card.default, card.name))


def _readings(text: str) -> list[tuple[str, str | None]]:
    """Read all of it as a name or path, then what stands before the last @ and what after."""
    base, _, selection = text.rpartition("@")
    whole: tuple[str, str | None] = (text, None)
    return [whole, (base, selection)] if base and selection else [whole]


def _folder_at(path: Path) -> Path:
    folder = path.parent if path.is_file() else path
    if (folder / CARD).is_file():
        return folder.absolute()
    found = "no such file or folder" if not path.exists() else f"found no {CARD} there"
    raise PotentialFileError(
        f"expected the folder of a potential at {path}, {found}. A potential is a folder "
        f"with {CARD}, config.json, weights.safetensors and golden.json."
    )


def _is_known(name: str) -> bool:
    """Whether one of our own potentials has this name."""
    return any(card.name == name for _, card in _installed()) or (Path(name) / CARD).is_file()


def _places() -> list[Path]:
    places = []
    if own := os.environ.get(ENVIRONMENT):
        folder = Path(own).expanduser().absolute()
        if not folder.is_dir():
            raise PotentialFileError(
                f"expected {ENVIRONMENT} to name a folder of potentials, got {own!r}, which is "
                "none. Correct or unset it."
            )
        places.append(folder)
    # in a wheel, and in a checkout or editable install
    shipped = (PACKAGE / "_potentials", PACKAGE.parent / "potentials")
    return places + [folder for folder in shipped if folder.is_dir()][:1]


def _installed() -> Iterator[tuple[Path, PotentialCard]]:
    for place in _places():
        for path in sorted(place.glob(f"*/{CARD}")):
            try:
                yield path.parent, read_card(path.parent)
            except PotentialFileError as error:
                logger.warning("left out a potential: %s", error)
