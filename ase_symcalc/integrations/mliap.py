"""The potential inside LAMMPS: ``pair_style mliap unified``.

For builds of LAMMPS with the ML-IAP package and its Python coupling; with Kokkos they run on
GPUs. ``symcalc export lammps`` writes the file that the pair style reads::

    pair_style mliap unified potential.pkl 0
    pair_coeff * * Si O

The file is a Python pickle, for LAMMPS reads no other kind. It holds the name of the potential
and its digest, a few hundred bytes, and no weights: the Python inside LAMMPS must find this
package (``PYTHONPATH``, or an active environment) and the potential. LAMMPS unpickles whatever
file it is given, so it would run a file with a program in it as well; use files that you wrote,
or take the exported file of a stranger for what it is, a program.
"""

from __future__ import annotations

import os
import pickle
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64, Int64

from ase_symcalc.errors import InputError, PotentialFileError
from ase_symcalc.evaluation import Committee, PotentialLike, evaluate_domain
from ase_symcalc.models.elements import atomic_number
from ase_symcalc.potential_files import Potential, load_potential

_SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MPI_LOCALNRANKS", "SLURM_NTASKS")
"""Variables in which those who start MPI programs say how many processes there are"""


class MLIAPPotential:
    """What LAMMPS calls: the interface of its ``MLIAPUnified``, by the same names.

    LAMMPS asks an object for these names and never for its class, so this one needs no LAMMPS to
    be made, written or tested.

    Parameters
    ----------
    potential : str, path or Potential
        As for `SymCalc`.
    dtype : {"float64", "float32"}
    ghost_neighbours : bool
        For builds without Kokkos: rows of ghosts are not exchanged between layers but computed
        again, from neighbours that they have on this process. See `input_lines`.

    Attributes
    ----------
    element_types : list of str
        LAMMPS finds the symbols of ``pair_coeff`` among them.
    rcutfac : float, Å
        Half of the cutoff.
    ndescriptors, nparams : int
        Without meaning, and asked for.
    interface : object
        Set by LAMMPS.
    """

    def __init__(
        self,
        potential: PotentialLike = "default",
        *,
        dtype: str = "float64",
        ghost_neighbours: bool = False,
    ) -> None:
        committee = Committee.load(potential, "cpu", dtype)
        self._potential = member = committee.members[0]
        if member.folder is None and member.address is None:
            raise PotentialFileError(
                f"the potential {member.card.name} lives in memory only, where LAMMPS cannot "
                "read it; save it with save_potential and pass its folder"
            )
        self._address, self._dtype = committee.addresses[0], dtype
        self._ghost_neighbours = ghost_neighbours
        self._elsewhere: dict[torch.device, Potential] = {}
        self._numbers = np.array([atomic_number(symbol) for symbol in member.model.elements])
        self.element_types = list(member.model.elements)
        self.rcutfac = member.model.cutoff / 2
        self.ndescriptors = self.nparams = 1
        self.interface: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {
            "potential": self._address,
            "digest": self._potential.digest,
            "dtype": self._dtype,
            "ghost_neighbours": self._ghost_neighbours,
        }

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        settings = dict(state)
        digest = settings.pop("digest")
        self.__init__(**settings)  # type: ignore[misc]
        if self._potential.digest != digest:
            raise PotentialFileError(
                f"the files of {self._address} are not those the file for LAMMPS was made of; "
                "bring them back, or export again"
            )

    def save(self, path: Path) -> None:
        """Write the file for LAMMPS.

        Raises
        ------
        InputError
            If LAMMPS would not read the file by its ending as what it is.
        """
        if path.suffix in (".pt", ".pth"):
            raise InputError(
                f"expected a file such as {path.with_suffix('.pkl')}, got {path}: LAMMPS gives "
                f"files ending in {path.suffix} to torch.load, which refuses them"
            )
        path.write_bytes(pickle.dumps(self))

    def input_lines(self, path: Path) -> list[str]:
        """Lines of an input of LAMMPS that use the file."""
        layers, cutoff = self._potential.model.num_layers, self._potential.model.cutoff
        lines = ["units metal", "newton on", "atom_modify map yes"]
        if self._ghost_neighbours and layers > 1:
            lines.append(f"comm_modify cutoff {layers * cutoff + 2:g}  # {layers} cutoffs and skin")
        lines.append(f"pair_style mliap unified {path} {int(self._ghost_neighbours)}")
        return [*lines, "pair_coeff * * " + " ".join(self.element_types[:2]) + "  # by atom type"]

    def compute_descriptors(self, data: Any) -> None:
        """Do nothing; LAMMPS calls it."""

    def compute_gradients(self, data: Any) -> None:
        """Do nothing; LAMMPS calls it."""

    def compute_forces(self, data: Any) -> None:
        """Fill energies and pair forces of a process's atoms.

        Processes without atoms take part too: rows are exchanged by all or by none.

        Parameters
        ----------
        data : object
            ``MLIAPDataPy`` of LAMMPS, of a plain build or one with Kokkos.
        """
        with _ending_all():
            self._compute(data)

    def _compute(self, data: Any) -> None:
        n_rows, n_own = data.ntotal, getattr(data, "nlocal", data.nlistatoms)
        if data.nlistatoms != n_own:
            raise InputError(
                f"expected all {n_own} atoms of a process to be ours, got {data.nlistatoms}; "
                "pair_style hybrid does not go together with this one"
            )
        elements, device = _on_host(data.elems if n_rows else None, (n_rows,), np.int64)
        if elements.size and not 0 <= elements.min() <= elements.max() < len(self._numbers):
            raise InputError("expected an element for each atom type in pair_coeff, got NULL")
        edges = (
            _on_host(data.rij if data.npairs else None, (data.npairs, 3), np.float64)[0],
            _on_host(data.pair_i if data.npairs else None, (data.npairs,), np.int64)[0],
            _on_host(data.pair_j if data.npairs else None, (data.npairs,), np.int64)[0],
        )
        potential = self._potential_on(device)
        numbers = self._numbers[elements]
        self._check_ghosts(data, edges[1], n_own, n_rows)
        if self._ghost_neighbours:
            weights = (np.arange(n_rows) < n_own).astype(np.float64)
            found = evaluate_domain(potential, *edges, numbers, n_rows, weights=weights)
        else:
            rows = MLIAPRows(data, n_own) if potential.model.num_layers > 1 else None
            found = evaluate_domain(potential, *edges, numbers, n_own, rows)
        assert found.gradient is not None
        _give(data, found.atomic_energies[:n_own], found.gradient, device)

    def _potential_on(self, device: torch.device) -> Potential:
        """Return the potential where LAMMPS keeps its atoms."""
        if device.type == "cpu":
            return self._potential
        if device not in self._elsewhere:
            self._elsewhere[device] = load_potential(
                self._address, device=device, dtype=self._dtype
            )
        return self._elsewhere[device]

    def _check_ghosts(
        self, data: Any, centre: Int64[np.ndarray, "n_pairs"], n_own: int, n_rows: int
    ) -> None:
        """Refuse a build or an input of the other kind: layers would lack rows of ghosts."""
        if self._potential.model.num_layers == 1:
            return
        given = centre.max(initial=-1) >= n_own
        if self._ghost_neighbours and n_rows > n_own and len(centre) and not given:
            raise InputError(
                "expected neighbours of ghosts, got none: the file was exported with "
                "--ghost-neighbours, so the input must say `pair_style mliap unified FILE 1`"
            )
        if not self._ghost_neighbours and given:
            raise InputError(
                "expected no neighbours of ghosts: the file was exported without "
                "--ghost-neighbours, so the input must say `pair_style mliap unified FILE 0`"
            )
        if not self._ghost_neighbours and not hasattr(data, "forward_exchange"):
            raise InputError(
                "this LAMMPS cannot exchange rows of ghosts: it needs Kokkos, a version after "
                "February 2025, and to be started with -k on -sf kk; for others export with "
                "--ghost-neighbours"
            )


class MLIAPRows:
    """Rows of ghosts, exchanged by LAMMPS (`inference.surroundings.RowExchange`).

    Parameters
    ----------
    data : object
        ``MLIAPDataPy`` of a build with Kokkos.
    n_own : int
        Atoms of the process; ghosts follow.
    """

    def __init__(self, data: Any, n_own: int) -> None:
        self._data, self._n_own = data, n_own

    def fill(self, rows: Any) -> None:
        """Write the rows of the ghosts."""
        tensor = torch.as_tensor(rows)
        tensor[self._n_own :] = 0  # left over from earlier, perhaps no numbers at all
        out = self._exchanged(self._data.forward_exchange, tensor)
        tensor[self._n_own :] = out[self._n_own :]

    def fold(self, gradient: Any) -> None:
        """Add what ghosts got, everywhere, to the rows of their owners."""
        tensor = torch.as_tensor(gradient)
        tensor[: self._n_own] = self._exchanged(self._data.reverse_exchange, tensor)[: self._n_own]

    def _exchanged(self, exchange: Any, rows: torch.Tensor) -> torch.Tensor:
        out = torch.empty_like(rows)
        _wait_for(rows.device)  # LAMMPS reads what torch may still be writing
        exchange(rows, out, rows.shape[1])
        _wait_for(rows.device)
        return out


def _on_host(array: Any, shape: tuple[int, ...], dtype: Any) -> tuple[np.ndarray, torch.device]:
    """Copy of an array of LAMMPS, which may be on a GPU; where it is. Nothing has no address."""
    if array is None:
        return np.zeros(shape, dtype=dtype), torch.device("cpu")
    tensor = torch.as_tensor(array)
    _wait_for(tensor.device)
    return tensor.cpu().numpy().astype(dtype), tensor.device


def _give(
    data: Any,
    energies: Float64[np.ndarray, "n_own"],
    gradient: Float64[np.ndarray, "n_pairs 3"],
    device: torch.device,
) -> None:
    """Hand results over; where there are none, LAMMPS has no room for them either."""
    data.energy = float(energies.sum())
    has_kokkos = hasattr(data, "update_pair_forces_gpu")
    if len(energies) and has_kokkos:
        torch.as_tensor(data.eatoms).copy_(torch.from_numpy(energies))
    elif len(energies):
        data.eatoms = energies
    if len(gradient) and has_kokkos:
        forces = torch.from_numpy(gradient).to(device)
        _wait_for(device)
        data.update_pair_forces_gpu(forces)
    elif len(gradient):
        data.update_pair_forces(gradient)


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def _ending_all() -> Iterator[None]:
    """End this process if others wait for it: LAMMPS would let them wait forever."""
    try:
        yield
    except BaseException:
        if all(os.environ.get(name, "1") == "1" for name in _SIZES):
            raise
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)  # whoever started the processes ends the others
