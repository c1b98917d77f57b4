"""Elastic constants from the stresses of strained crystals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.stress import full_3x3_to_voigt_6_stress
from jaxtyping import Float64

from ase_symcalc.apps.crystal import stress_of
from ase_symcalc.apps.elastic_tensor import MANDEL
from ase_symcalc.apps.kept import Parts
from ase_symcalc.apps.settle import settle
from ase_symcalc.symmetry.strains import voigt_strain


@dataclass(frozen=True, slots=True)
class ElasticStep:
    """One strained crystal, done."""

    done: int
    total: int
    strain: Float64[np.ndarray, "3 3"]
    converged: bool
    """Whether its atoms came to rest."""


@dataclass(frozen=True, slots=True)
class Differences:
    """Half of σ(+aε) - σ(-aε), GPa, in the order of Voigt."""

    clamped: Float64[np.ndarray, "n_strains n_amplitudes 6"]
    relaxed: Float64[np.ndarray, "n_strains n_amplitudes 6"] | None
    converged: bool


def stress_differences(
    atoms: Atoms,
    strains: Float64[np.ndarray, "n_strains 3 3"],
    amplitudes: Sequence[float],
    *,
    clamped: bool,
    fmax: float,
    max_steps: int,
    parts: Parts,
    on_step: Callable[[ElasticStep], None] | None = None,
) -> Differences:
    """Strain a crystal to both sides; its atoms go along, and then to rest unless clamped.

    Parameters
    ----------
    atoms : Atoms
        With a calculator attached. Not changed.
    strains : (n_strains, 3, 3) array
        Symmetric ε of h' = h(1 + aε).
    amplitudes : sequence of float
        a
    clamped : bool
    fmax : float, eV/Å
    max_steps : int
    parts : mapping
        Strained crystals that are done; changed.
    on_step : callable, optional

    Raises
    ------
    InputError
        If the calculator has no stress.
    NumericalError
        If a force or a stress is not a number.
    """
    shape = (len(strains), len(amplitudes), 6)
    fixed, free = np.zeros(shape), np.zeros(shape)
    rest = {"fmax": fmax, "max_steps": max_steps}
    done, converged = 0, True
    for row, strain in enumerate(strains):
        answer = np.zeros_like(atoms.positions)  # of the atoms to a strain of 1, as far as known
        for column in np.argsort(amplitudes):
            for sign in (1, -1):
                amplitude = sign * amplitudes[column]
                name = f"strain {row + 1} times {amplitude:+g}"
                if name not in parts:
                    strained = _strained(atoms, amplitude * strain)
                    parts[name] = _stresses(strained, None if clamped else amplitude * answer, rest)
                part = parts[name]
                fixed[row, column] += sign / 2 * np.array(part["clamped_GPa"])
                if not clamped:
                    free[row, column] += sign / 2 * np.array(part["relaxed_GPa"])
                    answer = np.array(part["moved_angstrom"]) / amplitude
                converged &= part["converged"]
                done += 1
                if on_step is not None:
                    total = 2 * len(strains) * len(amplitudes)
                    on_step(ElasticStep(done, total, amplitude * strain, part["converged"]))
    return Differences(fixed, None if clamped else free, converged)


def fit_constants(
    basis: Float64[np.ndarray, "n_constants 6 6"],
    strains: Float64[np.ndarray, "n_strains 3 3"],
    amplitudes: Sequence[float],
    differences: Float64[np.ndarray, "n_strains n_amplitudes 6"],
    stress: Float64[np.ndarray, "3 3"],
) -> tuple[Float64[np.ndarray, "6 6"], float]:
    """Least squares of the constants, and of what grows with the cube of the amplitude.

    σ_i(s, a) = a Σ_n c_n B^n_ij s_j + a³ k_i(s), over all strains s and amplitudes a at once,
    c and k unknown. Squares are those of the stress tensor, so a turned crystal has turned
    constants.

    Parameters
    ----------
    basis : (n_constants, 6, 6) array
        From `symmetry.elastic_basis`.
    strains, amplitudes
        As given to `stress_differences`.
    differences : (n_strains, n_amplitudes, 6) array, GPa
    stress : (3, 3) array, GPa
        Without strain. Its shear makes ∂σ_ij/∂ε_kl differ from ∂σ_kl/∂ε_ij, by σ_kl δ_ij - σ_ij
        δ_kl, half of which is taken off first, so that the constants are the mean of both.

    Returns
    -------
    constants : (6, 6) array, GPa
    residual : float
        GPa, root mean square of the stresses about the fit.
    """
    a = np.asarray(amplitudes)
    linear = np.einsum("nij,sj->sin", basis, voigt_strain(strains))
    linear = np.einsum("a,sin->sain", a, linear * MANDEL[:, None])
    n_strains = len(strains)
    cubic = np.einsum("a,st,ij->saitj", a**3, np.eye(n_strains), np.eye(6))
    cubic = cubic.reshape(n_strains, len(a), 6, 6 * n_strains)
    if len(a) == 1:
        cubic = cubic[..., :0]
    unknowns = np.concatenate([linear, cubic / a.max() ** 2], axis=3)
    unknowns = unknowns.reshape(-1, unknowns.shape[3])
    across = np.einsum("sij,ij,kl->skl", strains, stress, np.eye(3))
    across = (across - np.einsum("sii,kl->skl", strains, stress)) / 2
    across = full_3x3_to_voigt_6_stress(across)
    measured = ((differences - np.einsum("a,si->sai", a, across)) * MANDEL).ravel()
    found = np.linalg.lstsq(unknowns, measured)[0]
    rest = unknowns @ found - measured
    constants = np.tensordot(found[: len(basis)], basis, 1)
    return constants, float(np.sqrt(np.mean(rest**2)))


def _strained(atoms: Atoms, strain: np.ndarray) -> Atoms:
    strained = atoms.copy()
    strained.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    strained.calc = atoms.calc
    return strained


def _stresses(atoms: Atoms, guess: np.ndarray | None, rest: dict[str, Any]) -> dict[str, Any]:
    """Stress (GPa) of a strained crystal, and after its atoms went from a guess to rest."""
    part: dict[str, Any] = {"clamped_GPa": _stress(atoms).tolist(), "converged": True}
    if guess is not None:
        along = atoms.positions.copy()
        atoms.positions += guess
        part["converged"] = settle(atoms, **rest)
        part["moved_angstrom"] = (atoms.positions - along).tolist()
        part["relaxed_GPa"] = _stress(atoms).tolist()
    return part


def _stress(atoms: Atoms) -> np.ndarray:
    return full_3x3_to_voigt_6_stress(stress_of(atoms, "elastic constants"))
