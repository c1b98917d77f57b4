"""What is told of elastic constants: to a person in rows, to a program in a record."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from ase import Atoms

from ase_symcalc.apps.elastic import NO_STRESS, ElasticResult
from ase_symcalc.apps.elastic_tensor import Moduli
from ase_symcalc.apps.record import make_record

SAME = 0.05
"""GPa; orientations in which no constant differs by more are not told apart."""

VOIGT = "xx yy zz yz xz xy"


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """All that the constants depend on, structure and potential apart."""
    return {
        "file": args.file,
        "relax": args.relax,
        "symprec_angstrom": args.symprec,
        "method": args.method,
        "clamped": args.clamped,
        "fmax_eV_per_angstrom": args.fmax,
        "dtype": args.dtype,
        "symmetry": args.symmetry,
    }


def record_of(args: argparse.Namespace, atoms: Atoms, result: ElasticResult) -> dict[str, Any]:
    """Everything that can be known of the constants afterwards, units in the names."""
    results = {
        "voigt_order": VOIGT,
        "constants_GPa": result.constants,
        "clamped_constants_GPa": result.clamped,
        "relaxed_constants_GPa": result.relaxed,
        "standard_axes": result.axes,
        "standard_constants_GPa": result.standard,
        "space_group": result.space_group,
        "n_independent_constants": result.n_constants,
        "n_strains": len(result.strains),
        "strains": result.strains,
        "residual_GPa": result.residual,
        "stress_GPa": result.stress,
        "eigenvalues_GPa": result.eigenvalues,
        "softest_mode_eV_per_angstrom2": result.softest_mode,
        "stable": result.stable,
        "moduli": result.moduli and _moduli(result.moduli),
        "converged": result.converged,
        "plot": args.plot,
        "report": args.report,
    }
    record = make_record(
        "elastic", atoms=atoms, settings=settings_of(args), results=results, calculator=atoms.calc
    )
    record["warnings"] += warnings_about(result)
    return record


def warnings_about(result: ElasticResult) -> list[str]:
    """Sentences that a reader of these numbers must see."""
    sentences = []
    if not result.stress_free:
        largest = abs(result.stress).max()
        sentences.append(
            f"the structure is under {largest:.1f} GPa of stress, more than {NO_STRESS:g}: these "
            "are the stress-strain coefficients of the crystal as it is, not the constants of the "
            "crystal without load; --relax goes there first"
        )
    if not result.stable:
        sentences.append(instability_in_words(result))
    return sentences


def instability_in_words(result: ElasticResult) -> str:
    """Say what lowers the energy of a crystal."""
    lowest = result.eigenvalues[0]
    if lowest <= 0:
        return (
            f"the crystal is not stable: a strain has the stiffness {lowest:.2f} GPa, below zero "
            "(Born's condition). Moduli mean nothing here; look for the structure it goes over to "
            "(shake the atoms and relax a lower symmetry), or doubt the potential"
        )
    return (
        "the crystal is not stable: a displacement of its atoms at the zone centre has the "
        f"curvature {result.softest_mode:.2f} eV/Å², below zero. The relaxed constants belong to a "
        "saddle; shake the atoms and relax, or doubt the potential"
    )


def rows_of(result: ElasticResult) -> list[tuple[str, str]]:
    """Return what fits on a screen."""
    ions = "clamped ions" if result.relaxed is None else "relaxed ions"
    rows = [
        ("space group", f"{result.space_group}, {result.n_constants} independent constants"),
        (f"C / GPa, {ions},\nrows {VOIGT}", _table(result.constants)),
    ]
    if result.relaxed is not None and abs(result.relaxed - result.clamped).max() > SAME:
        rows.append(("C / GPa, clamped ions", _table(result.clamped)))
    if abs(result.standard - result.constants).max() > SAME:
        rows.append(("C / GPa, standard axes\n(z along c, y along c × a)", _table(result.standard)))
    rows.append(("eigenvalues / GPa", "  ".join(f"{value:.1f}" for value in result.eigenvalues)))
    if result.softest_mode is not None:
        rows.append(("softest mode / (eV/Å²)", f"{result.softest_mode:.3f}"))
    rows.append(("stable", "yes" if result.stable else "NO"))
    if result.moduli is not None:
        rows += _moduli_rows(result.moduli)
    n = len(result.strains)
    how = f"of {n} strain{'s' if n > 1 else ''}" if n else "of the symmetry"
    rows.append((f"residual {how} / GPa", f"{result.residual:.2g}"))
    rows.append(("largest stress / GPa", f"{abs(result.stress).max():.3f}"))
    return rows


def _moduli_rows(moduli: Moduli) -> list[tuple[str, str]]:
    m = moduli
    return [
        (
            "bulk modulus / GPa",
            f"{m.bulk:.1f} (Reuss {m.bulk_reuss:.1f}, Voigt {m.bulk_voigt:.1f})",
        ),
        (
            "shear modulus / GPa",
            f"{m.shear:.1f} (Reuss {m.shear_reuss:.1f}, Voigt {m.shear_voigt:.1f})",
        ),
        ("Young's modulus / GPa", f"{m.young:.1f}"),
        ("Poisson's ratio", f"{m.poisson:.3f}"),
        ("universal anisotropy", f"{m.universal_anisotropy:.3f}"),
    ]


def _table(constants: np.ndarray) -> str:
    shown = np.round(constants, 1) + 0.0
    return "\n".join("".join(f"{value:8.1f}" for value in row) for row in shown)


def _moduli(moduli: Moduli) -> dict[str, float]:
    return {
        "bulk_voigt_GPa": moduli.bulk_voigt,
        "bulk_reuss_GPa": moduli.bulk_reuss,
        "bulk_hill_GPa": moduli.bulk,
        "shear_voigt_GPa": moduli.shear_voigt,
        "shear_reuss_GPa": moduli.shear_reuss,
        "shear_hill_GPa": moduli.shear,
        "young_GPa": moduli.young,
        "poisson": moduli.poisson,
        "universal_anisotropy": moduli.universal_anisotropy,
    }
