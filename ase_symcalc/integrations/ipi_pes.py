"""Potentials in i-PI: path integrals, replica exchange, with beads evaluated together.

i-PI takes this file by its path, which ``symcalc ipi`` prints, in an input,

    <ffdirect name='symcalc'>
      <pes>custom</pes> <pes_path>PATH</pes_path> <batch_size>8</batch_size>
      <parameters>{template: init.xyz, potential: metals-preview}</parameters>
    </ffdirect>

or in a client of its socket,

    i-pi-driver-py -u -a ADDRESS -m custom -P $(symcalc ipi) -o template=init.xyz,dtype=float32

The options are those of `SymCalcDriver`. With ``ffdirect`` that is not threaded the number of
beads must be a multiple of ``batch_size``, or i-PI waits forever; ``ffsocket`` takes a
``batch_size`` too. It outlives clients that are killed only with
``<consolidate_messages> False </consolidate_messages>``, which goes without batches (i-PI 3.3.1).
A socket that a killed i-PI left behind, /tmp/ipi_ADDRESS, has to be removed by hand.

ASE's own client, ``SocketClient(unixsocket=ADDRESS).run(atoms, use_stress=True)``, works with
`SymCalc` too, one bead at a time; its constants of nature differ from i-PI's in the eighth digit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.io import read
from jaxtyping import Float64

from ase_symcalc.errors import InputError
from ase_symcalc.evaluation import StructureResult, checked_arrays
from ase_symcalc.integrations.together import Together
from ase_symcalc.potential_files import load_potential

try:
    from ipi.pes.dummy import Dummy_driver
    from ipi.utils.units import unit_to_internal, unit_to_user
except ImportError as error:
    raise ImportError("this needs i-PI: python -m pip install 'ase-symcalc[ipi]'") from error

__DRIVER_NAME__ = "symcalc"
__DRIVER_CLASS__ = "SymCalcDriver"

Answer = tuple[float, np.ndarray, np.ndarray, str]
"""Energy, forces and virial in atomic units, and nothing more to say."""


class SymCalcDriver(Dummy_driver):  # type: ignore[misc]  # i-PI may be absent
    """Energies, forces and virials for i-PI.

    Parameters
    ----------
    template : str
        A file in any format that ASE reads, with the atoms in i-PI's order. Only their elements
        are taken from it: positions and cell come from i-PI, whose cell repeats in all
        directions.
    potential, device, dtype : str
        As for `SymCalc`.
    threads : int
        Of torch and the compiled kernels, in this process. Several clients on one machine get
        in each other's way with more than one each.
    **others
        ``verbose`` and ``verbosity``, which i-PI sends.

    Raises
    ------
    InputError
        If an option is unknown or has no meaning, or an element of the template is unknown to
        the potential.
    PotentialFileError
        If the potential cannot be found or read.
    """

    def __init__(
        self,
        template: str | None = None,
        potential: str = "default",
        device: str = "cpu",
        dtype: str = "float64",
        threads: int = 1,
        **others: Any,
    ) -> None:
        if unknown := sorted(others.keys() - {"verbose", "verbosity"}):
            raise InputError(
                "expected options among template, potential, device, dtype, threads; got "
                f"{', '.join(unknown)}"
            )
        if template is None:
            raise InputError(
                "expected a template, a file with the atoms in i-PI's order; got none. "
                "Add template=FILE to the options"
            )
        if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
            raise InputError(f"expected threads to be a whole number from 1, got {threads!r}")
        self.template, self.threads = template, threads
        self._together = Together(load_potential(str(potential), device=device, dtype=dtype))
        super().__init__(**others)

    def check_parameters(self) -> None:
        """Read the template, and say what its elements are before i-PI starts.

        Raises
        ------
        InputError
        """
        torch.set_num_threads(self.threads)
        try:
            atoms = read(self.template, index=-1)
        except Exception as error:  # what readers of formats raise
            raise InputError(f"the template cannot be read: {error}") from error
        assert isinstance(atoms, Atoms), "one image was asked for"
        self._numbers = atoms.numbers
        checked_arrays(Atoms(numbers=self._numbers), self._together.potential.model.elements)

    def __call__(
        self,
        cell: Float64[np.ndarray, "3 3"] | list[Float64[np.ndarray, "3 3"]],
        pos: Float64[np.ndarray, "n_atoms 3"] | list[Float64[np.ndarray, "n_atoms 3"]],
    ) -> Answer | list[Answer]:
        """Evaluate one structure, or several together.

        Parameters
        ----------
        cell : (3, 3) array, or a list of them, bohr
            Columns are the cell vectors.
        pos : (n_atoms, 3) array, or a list of them, bohr

        Returns
        -------
        tuple, or a list of them
            Energy (hartree), forces (hartree/bohr), virial -∂E/∂ε (hartree), no extras.

        Raises
        ------
        InputError
            If a structure has no meaning; of several, the message says which.
        NumericalError
            If the network returns NaN or infinity.
        """
        if isinstance(cell, list) and isinstance(pos, list):
            return self._answers(cell, pos)
        return self._answers([np.asarray(cell)], [np.asarray(pos)])[0]

    def _answers(self, cells: list[np.ndarray], places: list[np.ndarray]) -> list[Answer]:
        structures = [self._atoms(cell, pos) for cell, pos in zip(cells, places, strict=True)]
        results = self._together(structures)
        return [_answer(result, atoms) for result, atoms in zip(results, structures, strict=True)]

    def _atoms(self, cell: np.ndarray, pos: np.ndarray) -> Atoms:
        if len(pos) != len(self._numbers):
            raise InputError(
                f"i-PI sent {len(pos)} atoms, and {self.template} has {len(self._numbers)}; "
                "expected the same atoms in the same order"
            )
        vectors = unit_to_user("length", "angstrom", cell.T)
        places = unit_to_user("length", "angstrom", pos)
        return Atoms(numbers=self._numbers, positions=places, cell=vectors, pbc=True)


def _answer(result: StructureResult, atoms: Atoms) -> Answer:
    assert result.stress is not None, "what repeats in three directions has a volume"
    virial = -result.stress * atoms.get_volume()
    return (
        unit_to_internal("energy", "electronvolt", result.energy),
        unit_to_internal("force", "ev/ang", result.forces),
        unit_to_internal("energy", "electronvolt", virial),
        "",
    )
