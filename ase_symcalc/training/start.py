"""The potential that training goes on from."""

from __future__ import annotations

from collections.abc import Sequence

from ase_symcalc.errors import InputError
from ase_symcalc.models.symnet import SymNet
from ase_symcalc.potential_files import Potential, load_potential, read_card
from ase_symcalc.potential_files.find import find_checkpoint, find_head


def load_starts(potential: str, heads: Sequence[str]) -> dict[str, Potential]:
    """Potential that each head starts from, ``""`` if there are no heads.

    Each head of the same name, if the potential has heads and none is named behind an ``@``;
    else the one potential for all.

    Raises
    ------
    InputError
        If heads are to start from a network that cannot share its body.
    PotentialFileError
        If there is no such potential, or it has no such head.
    """
    if heads and _has_heads(potential):
        return {head: load_potential(f"{potential}@{head}") for head in heads}
    one = load_potential(potential)
    if heads and not isinstance(one.model, SymNet):
        raise InputError(
            f"expected a potential with a network of our own to start heads from; {potential} is "
            f"a {one.model.config.family} network, which is trained without model.heads"
        )
    return dict.fromkeys(heads or ("",), one)


def _has_heads(potential: str) -> bool:
    if find_checkpoint(potential) is not None:
        return False
    folder, named = find_head(potential)
    return named is None and bool(read_card(folder).heads)
