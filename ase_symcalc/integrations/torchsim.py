"""Potentials in TorchSim: many small systems in one batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import numpy as np
import torch
from ase import Atoms
from torch import Tensor

from ase_symcalc.evaluation import Committee, PotentialLike, StructureResult
from ase_symcalc.integrations.together import Together

try:
    from torch_sim.models.interface import ModelInterface
    from torch_sim.state import SimState
    from torch_sim.typing import MemoryScaling
except ImportError as error:
    raise ImportError(
        "SymCalcModel needs TorchSim: python -m pip install 'ase-symcalc[torchsim]'"
    ) from error


class SymCalcModel(ModelInterface):  # type: ignore[misc]  # TorchSim may be absent
    """A potential as a model of TorchSim, 0.3 or newer.

    The systems of a state are evaluated as one graph, with neighbour lists of our own that are
    kept from call to call; results are those of `SymCalc` for each alone, up to rounding. A
    state is never written to, and its positions may lie anywhere. On the CPU the network is
    compiled, as in `SymCalc`; how many systems go together is TorchSim's choice, which on a CPU
    needs ``max_memory_scaler``.

    Parameters
    ----------
    potential : str, path or Potential
        A shipped name, a folder, or what `load_potential` returned.
    device : str or torch.device
        Where the network runs, and where results are.
    dtype : {torch.float64, torch.float32}
        Precision of the network and of the results.
    compute_forces, compute_stress : bool
        Whether ``forces`` and ``stress`` are among the results.

    Raises
    ------
    InputError
        If an argument has no meaning; from a call, if a system has none.
    PotentialFileError
        If the potential cannot be found or read.
    """

    def __init__(
        self,
        potential: PotentialLike = "default",
        *,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float64,
        compute_forces: bool = True,
        compute_stress: bool = True,
    ) -> None:
        super().__init__()
        name = str(dtype).removeprefix("torch.")
        (member,) = Committee.load([potential], str(device), name).members
        self._together = Together(member)
        self._device, self._dtype = member.device, member.dtype
        self._compute_forces, self._compute_stress = compute_forces, compute_stress
        known = get_args(MemoryScaling)  # without edges before 0.6
        self._memory_scales_with = "n_edges" if "n_edges" in known else "n_atoms_x_density"

    def forward(self, state: SimState | Mapping[str, Any], **kwargs: object) -> dict[str, Tensor]:
        """Energies, forces and stresses of the systems of a state.

        Parameters
        ----------
        state : SimState, or a mapping with its fields
            Å. Masses may be missing.
        **kwargs
            Not looked at; TorchSim hands the same to every model of a sum.

        Returns
        -------
        dict of str to Tensor
            ``energy`` (n_systems,) in eV, ``forces`` (n_atoms, 3) in eV/Å, ``stress``
            (n_systems, 3, 3) in eV/Å³, positive under tension, NaN for a system without a
            volume; none is attached to a graph.

        Raises
        ------
        InputError
            If a system has no meaning or an element is unknown; the message says which.
        NumericalError
            If the network returns NaN or infinity.
        """
        if isinstance(state, Mapping):
            state = SimState(**{"masses": torch.ones_like(state["positions"][:, 0]), **state})
        results = self._together(_structures(state))
        found = {"energy": self._tensor([result.energy for result in results])}
        if self._compute_forces:
            found["forces"] = self._tensor(np.concatenate([result.forces for result in results]))
        if self._compute_stress:
            found["stress"] = self._tensor(np.array([_stress(result) for result in results]))
        return found

    def _tensor(self, numbers: Any) -> Tensor:
        return torch.tensor(numbers, dtype=self._dtype, device=self._device)


def _structures(state: SimState) -> list[Atoms]:
    """Copy the systems, in order; each is a run of a state's atoms."""
    places, cells = _array(state.positions), _array(state.row_vector_cell)
    kinds, sizes = _array(state.atomic_numbers), np.bincount(_array(state.system_idx))
    pbc = np.broadcast_to(_array(torch.as_tensor(state.pbc)), (len(sizes), 3))
    ends = np.cumsum(sizes)[:-1]
    parts = zip(np.split(kinds, ends), np.split(places, ends), cells, pbc, strict=True)
    return [Atoms(numbers=z, positions=r, cell=cell, pbc=p) for z, r, cell, p in parts]


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()


def _stress(result: StructureResult) -> np.ndarray:
    return np.full((3, 3), np.nan) if result.stress is None else result.stress
