"""All that is asked of labelled frames together, before anything is learnt from them."""

from __future__ import annotations

from collections.abc import Sequence

from ase_symcalc.training.consistency import check_consistency
from ase_symcalc.training.dataset import Frame
from ase_symcalc.training.levels import check_levels


def check_frames(frames: Sequence[Frame]) -> None:
    """Refuse frames whose labels contradict each other.

    Labels that are wrong by themselves were refused when they were read.

    Parameters
    ----------
    frames : sequence of Frame
        All of a run, with their whole energies.

    Raises
    ------
    InputError
        Naming file and frames, if forces or stresses of a file do not fit its energies
        (`check_consistency`), or energies of one head are not of one level of theory
        (`check_levels`).
    """
    check_consistency(frames)
    check_levels(frames)
