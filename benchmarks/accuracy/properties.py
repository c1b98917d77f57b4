"""Lattice constants, bulk moduli and elastic constants of crystals, beside DFT and experiment.

    python benchmarks/accuracy/properties.py default pbe16 \\
        --out benchmarks/results/properties.json --table benchmarks/results/properties.md

Cells are relaxed, equations of state fitted (`apps.eos`), elastic constants taken with relaxed
ions from strains (`apps.elastic`).

DFT: PBE. Lattice constants are those of the training sources, as in crystals.py; of MgO and
SrTiO3 from A. Seko, J. Appl. Phys. 133, 011101 (2023). Elastic constants are quoted from Y. Zuo
et al., J. Phys. Chem. A 124, 731 (2020), from memory; those of Ta and W are differences of the
stress labels of X.-G. Li et al., npj Comput. Mater. 6, 70 (2020).

Experiment, room temperature, from memory: C. Kittel, Introduction to Solid State Physics, chapter
3 (Ni, Cu, Ag, Ta, W, Au); G. Simmons and H. Wang, Single Crystal Elastic Constants (1971) (Mo,
Li); H. J. McSkimin and P. Andreatch, J. Appl. Phys. 35, 3312 (1964) (Si, Ge); K. J. Carroll, J.
Appl. Phys. 36, 3689 (1965) (Nb); S. V. Sinogeikin and J. D. Bass, Phys. Earth Planet. Inter. 120,
43 (2000) (MgO); R. O. Bell and G. Rupprecht, Phys. Rev. 129, 90 (1963) (SrTiO3).
"""

import argparse
import json
import sys
import time
from pathlib import Path

from ase import Atoms
from ase.build import bulk

sys.path.insert(0, str(Path(__file__).parents[1]))
from _timing import about

from ase_symcalc import SymCalc, load_potential
from ase_symcalc.apps import elastic, eos, relax

# name: lattice, a of PBE and of experiment (Å); C11, C12, C44 of PBE and of experiment (GPa)
CRYSTALS = {
    "Li": ("bcc", 3.4268, 3.51, (15, 13, 11), (13.5, 11.4, 8.8)),
    "Si": ("diamond", 5.4688, 5.431, (156, 65, 76), (165.6, 63.9, 79.5)),
    "Ge": ("diamond", 5.7541, 5.658, (116, 48, 58), (128.5, 48.3, 66.8)),
    "Ni": ("fcc", 3.521, 3.524, (276, 159, 132), (250.8, 150.0, 123.5)),
    "Cu": ("fcc", 3.633, 3.615, (173, 133, 88), (168.4, 121.4, 75.4)),
    "Ag": ("fcc", None, 4.086, None, (124.0, 93.7, 46.1)),
    "Au": ("fcc", None, 4.079, None, (192.3, 163.1, 42.0)),
    "Nb": ("bcc", None, 3.301, None, (246.5, 134.5, 28.7)),
    "Mo": ("bcc", 3.1698, 3.147, (472, 158, 106), (463.7, 157.8, 109.2)),
    "Ta": ("bcc", None, 3.303, (261, 162, 67), (260.9, 157.4, 81.8)),
    "W": ("bcc", None, 3.165, (523, 196, 136), (523.3, 204.5, 160.7)),
    "MgO": ("rocksalt", 4.247, 4.212, None, (297.9, 95.8, 154.4)),
    "SrTiO3": ("perovskite", 3.946, 3.905, None, (317.6, 102.5, 123.5)),
}


def crystal(name):
    lattice, pbe, experiment, *_ = CRYSTALS[name]
    a = pbe or experiment
    if lattice == "perovskite":
        places = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
        return Atoms("SrTiO3", scaled_positions=places, cell=[a, a, a], pbc=True)
    return bulk(name, lattice, a=a)


def measure(name, calculator):
    lattice, a_pbe, a_experiment, pbe, experiment = CRYSTALS[name]
    atoms = crystal(name)
    atoms.calc = calculator
    start = time.perf_counter()
    relaxed = relax(atoms, fmax=1e-3)
    volumes = {"bcc": 2, "perovskite": 1}  # conventional cells hold so many primitive ones, or 4
    state = eos(relaxed.atoms)
    found = elastic(relaxed.atoms)
    c = found.standard
    return {
        "lattice": lattice,
        "converged": relaxed.converged and state.converged and found.converged,
        "a_angstrom": (relaxed.atoms.get_volume() * volumes.get(lattice, 4)) ** (1 / 3),
        "a_pbe_angstrom": a_pbe,
        "a_experiment_angstrom": a_experiment,
        "eos": state.best.name,
        "bulk_modulus_GPa": state.best.bulk_modulus,
        "bulk_modulus_error_GPa": state.best.bulk_modulus_error,
        "bulk_modulus_derivative": state.best.derivative,
        "bulk_modulus_of_constants_GPa": (c[0, 0] + 2 * c[0, 1]) / 3,
        "c11_c12_c44_GPa": [c[0, 0], c[0, 1], c[3, 3]],
        "c44_clamped_GPa": found.clamped[3, 3],
        "residual_GPa": found.residual,
        "stable": found.stable,
        "pbe_GPa": pbe,
        "experiment_GPa": experiment,
        "seconds": time.perf_counter() - start,
    }


def table(potentials):
    """Markdown."""
    lines = []
    for name, rows in potentials.items():
        lines += [
            f"### {name}\n",
            "| | a / Å | PBE | exp. | B / GPa | C11, C12, C44 / GPa | PBE | exp. |",
            "|---|--:|--:|--:|--:|--:|--:|--:|",
        ]
        for symbol, row in rows.items():
            ours = _constants(row["c11_c12_c44_GPa"]) + ("" if row["stable"] else " (unstable)")
            cells = [
                symbol,
                f"{row['a_angstrom']:.4f}",
                _length(row["a_pbe_angstrom"]),
                _length(row["a_experiment_angstrom"]),
                f"{row['bulk_modulus_GPa']:.1f}",
                ours,
                _constants(row["pbe_GPa"]),
                _constants(row["experiment_GPa"]),
            ]
            lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def _length(value):
    return "" if value is None else f"{value:g}"


def _constants(values):
    return "" if values is None else " / ".join(f"{value:.0f}" for value in values)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("potential", nargs="+", help="names, folders or checkpoints")
    parser.add_argument("--out", help="write the numbers as JSON")
    parser.add_argument("--table", help="write them as Markdown")
    args = parser.parse_args()
    potentials, digests = {}, {}
    for name in args.potential:
        potential = load_potential(name)
        calculator = SymCalc(potential)
        rows = potentials[potential.card.name] = {}
        digests[potential.card.name] = potential.digest
        for symbol in CRYSTALS:
            if set(crystal(symbol).symbols) <= set(potential.card.elements):
                rows[symbol] = measure(symbol, calculator)
                print(table({potential.card.name: {symbol: rows[symbol]}}).splitlines()[-1])
    if args.table:
        Path(args.table).write_text(table(potentials), encoding="utf-8")
    if args.out:
        result = about(digests=digests, potentials=potentials)
        Path(args.out).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
