"""Elastic constants of crystals: from a few strains with any ASE calculator, or analytically."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from jaxtyping import Float64

from ase_symcalc.apps.crystal import check_crystal, check_minimum, stress_of
from ase_symcalc.apps.elastic_analytic import analytic_constants
from ase_symcalc.apps.elastic_strain import ElasticStep, fit_constants, stress_differences
from ase_symcalc.apps.elastic_tensor import MANDEL, Moduli, eigenvalues, moduli, turned
from ase_symcalc.apps.kept import Parts
from ase_symcalc.apps.relax import check_target
from ase_symcalc.apps.short_repr import short_repr
from ase_symcalc.errors import InputError
from ase_symcalc.symmetry.elastic import elastic_basis
from ase_symcalc.symmetry.groups import by_few_generators, crystal_class
from ase_symcalc.symmetry.setting import standard_setting
from ase_symcalc.symmetry.strains import irreducible_strains

METHODS = ("strain", "analytic")

SYMPREC = 1e-3
"""Å; the symmetry that the constants are taken to have."""

AMPLITUDES = (0.0025, 0.005, 0.01)

NO_STRESS = 0.2
"""GPa, about what `relax` leaves by default; below it all definitions agree."""

WHAT = "elastic constants"


@dataclass(frozen=True, slots=True)
class ElasticResult:
    """Elastic constants, GPa, in the order of Voigt: xx, yy, zz, yz, xz, xy."""

    __repr__ = short_repr

    method: str
    clamped: Float64[np.ndarray, "6 6"]
    """At fixed fractional coordinates, along the Cartesian axes of the structure"""
    relaxed: Float64[np.ndarray, "6 6"] | None
    """The atoms follow the strain; None if that was not asked for"""
    axes: Float64[np.ndarray, "3 3"]
    """Rows: x, y, z of the standard orientation (`standard_axes`)"""
    space_group: str
    """Symbol and number, within `SYMPREC`"""
    n_constants: int
    """that the symmetry leaves free"""
    strains: Float64[np.ndarray, "n_strains 3 3"]
    """whose stresses were computed, the largest principal strain ±1; none if analytic"""
    residual: float
    """GPa. From strains: root mean square of the stresses (at about 1 % of strain) about the
    fit. Analytic: that of the constants about those that the symmetry allows."""
    stress: Float64[np.ndarray, "3 3"]
    """GPa, of the structure as given"""
    softest_mode: float | None
    """eV/Å², lowest curvature of the energy as atoms move against each other within the
    primitive cell; None unless analytic and relaxed"""
    converged: bool
    """Whether the atoms came to rest in every strained crystal"""

    @property
    def constants(self) -> Float64[np.ndarray, "6 6"]:
        """The relaxed ones if there are some."""
        return self.clamped if self.relaxed is None else self.relaxed

    @property
    def standard(self) -> Float64[np.ndarray, "6 6"]:
        """`constants` along the axes of the standard orientation."""
        return turned(self.constants, self.axes)

    @property
    def eigenvalues(self) -> Float64[np.ndarray, "6"]:
        """Stiffnesses of the six eigenstrains, rising."""
        return eigenvalues(self.constants)

    @property
    def stable(self) -> bool:
        """Whether no strain, and no displacement that was looked at, lowers the energy."""
        soft = self.softest_mode is not None and self.softest_mode <= 0
        return bool(self.eigenvalues[0] > 0) and not soft

    @property
    def moduli(self) -> Moduli | None:
        """Voigt's, Reuss's and Hill's means; None for a crystal that some strain softens."""
        return moduli(self.constants) if self.eigenvalues[0] > 0 else None

    @property
    def stress_free(self) -> bool:
        """Whether the stress is below `NO_STRESS`."""
        return bool(abs(self.stress).max() < NO_STRESS)


def elastic(
    atoms: Atoms,
    *,
    method: str = "strain",
    clamped: bool = False,
    amplitudes: Sequence[float] = AMPLITUDES,
    fmax: float = 1e-4,
    max_steps: int = 200,
    parts: Parts | None = None,
    on_step: Callable[[ElasticStep], None] | None = None,
) -> ElasticResult:
    """Elastic constants of a crystal at its minimum.

    Parameters
    ----------
    atoms : Atoms
        With a calculator attached that computes stress. Not changed; constraints are not
        looked at.
    method : {"strain", "analytic"}
        "strain" takes central differences of the stress along the few strains that the
        symmetry of the crystal asks for. "analytic" takes the second derivatives of the
        energy, of a `SymCalc` only; it needs no amplitudes and finds soft modes, and costs
        three backward passes per atom of the primitive cell.
    clamped : bool
        Leave out how the atoms follow the strain.
    amplitudes : sequence of float
        Largest principal strains. Three and more let the fit say how good it is.
    fmax : float, eV/Å
        Largest force left in strained crystals. Forces of 1e-4 are worth some 0.1 GPa.
    max_steps : int
        Of each relaxation.
    parts : mapping from str, optional
        Strained crystals that are done, of a run with the same arguments; others are added,
        as what JSON holds. With "strain" only.
    on_step : callable, optional
        Receives an `ElasticStep` after each strained crystal.

    Returns
    -------
    ElasticResult

    Raises
    ------
    InputError
        For a structure that is not a crystal or not at a minimum, a calculator without
        stress or, if analytic, without second derivatives, or an argument out of range.
    NumericalError
        If a force or a stress is not a number.

    Notes
    -----
    The constants are B_ijkl = ∂σ_ij/∂ε_kl, σ the Cauchy stress and ε symmetric, h' = h(1 + ε).
    Without stress they are the second derivatives of the energy density. Under pressure they
    are those that say what is stable (J. Wang, J. Li, S. Yip, S. Phillpot and D. Wolf, Phys.
    Rev. B 52, 12627 (1995)). Under a shear stress B_ijkl and B_klij differ, and their mean is
    returned.
    """
    _check(atoms, method, amplitudes, fmax, max_steps)
    start = atoms.copy()
    start.set_constraint()
    start.calc = atoms.calc
    stress = stress_of(start, WHAT)
    check_minimum(start, WHAT)
    setting = standard_setting(start, SYMPREC)
    group = crystal_class(start, SYMPREC)
    basis = elastic_basis(by_few_generators(group))
    strains, softest, converged = np.empty((0, 3, 3)), None, True
    relaxed = None
    if method == "analytic":
        fixed, free, softest = analytic_constants(start, clamped=clamped, tolerance=SYMPREC)
        rigid, residual = _allowed(fixed, basis)
        if free is not None:
            relaxed, residual = _allowed(free, basis)
    else:
        strains = irreducible_strains(group, basis, _directions(atoms.cell.array))
        measured = stress_differences(
            start,
            strains,
            amplitudes,
            clamped=clamped,
            fmax=fmax,
            max_steps=max_steps,
            parts={} if parts is None else parts,
            on_step=on_step,
        )
        converged = measured.converged
        rigid, residual = fit_constants(basis, strains, amplitudes, measured.clamped, stress)
        if measured.relaxed is not None:
            relaxed, residual = fit_constants(basis, strains, amplitudes, measured.relaxed, stress)
    return ElasticResult(
        method=method,
        clamped=rigid,
        relaxed=relaxed,
        axes=standard_axes(setting.cell),
        space_group=f"{setting.symbol} ({setting.number})",
        n_constants=len(basis),
        strains=strains,
        residual=residual,
        stress=stress,
        softest_mode=softest,
        converged=converged,
    )


def standard_axes(cell: Float64[np.ndarray, "3 3"]) -> Float64[np.ndarray, "3 3"]:
    """Axes in which elastic constants are tabulated, as rows.

    z along c, y along c × a, x across: those of IEEE Standard on Piezoelectricity 176-1987 for a
    cell in the standard setting, up to the signs that it leaves to the piezoelectric constants.

    Parameters
    ----------
    cell : (3, 3) array, Å
        Rows are the standard cell's vectors, unique axis b.
    """
    a, _, c = cell
    z, y = c / np.linalg.norm(c), np.cross(c, a)
    y /= np.linalg.norm(y)
    return np.array([np.cross(y, z), y, z])


def _check(
    atoms: Atoms, method: str, amplitudes: Sequence[float], fmax: float, max_steps: int
) -> None:
    check_crystal(atoms, "an elastic tensor")
    check_target(fmax, max_steps)
    if method not in METHODS:
        raise InputError(f"expected method to be one of {', '.join(METHODS)}; got {method!r}")
    if not len(amplitudes) or not all(1e-5 <= each <= 0.05 for each in amplitudes):
        raise InputError(
            f"expected amplitudes of strain from 1e-5 to 0.05, got {list(amplitudes)}; "
            f"{list(AMPLITUDES)} are common"
        )


def _directions(cell: np.ndarray) -> np.ndarray:
    """Orthonormal rows that turn with a cell: the rotation of its polar decomposition."""
    left, _, right = np.linalg.svd(cell)
    return left @ right


def _allowed(constants: np.ndarray, basis: np.ndarray) -> tuple[np.ndarray, float]:
    """Project onto what symmetry allows; say how far off they were (GPa, root mean square)."""
    factors = np.outer(MANDEL, MANDEL)
    amounts = np.einsum("nij,ij->n", basis * factors, constants * factors)
    allowed = np.tensordot(amounts, basis, 1)
    return allowed, float(np.sqrt(np.mean(((allowed - constants) * factors) ** 2)))
