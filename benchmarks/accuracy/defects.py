"""Vacancies, their hops, and surfaces beside DFT.

    python benchmarks/accuracy/defects.py --out benchmarks/results/defects.json

PBE references, quoted from memory and rounded as there: vacancies from the source of the training
data, Y. Zuo et al., J. Phys. Chem. A 124, 731 (2020); surfaces from R. Tran et al., Sci. Data 3,
160080 (2016). Formation energies are at constant volume, the references' cells are of similar
size. Migration is the hop of a nearest neighbour.
"""

import argparse
import json
import time

import ase
import torch
from ase.build import bulk

from ase_symcalc import SymCalc, __version__, load_potential
from ase_symcalc.apps import surface, vacancy

LATTICES = {"Li": "bcc", "Si": "diamond", "Ni": "fcc", "Cu": "fcc", "Mo": "bcc"}

VACANCIES = {  # element: formation, migration / eV
    "Li": (0.62, 0.06),
    "Si": (3.25, 0.21),
    "Ni": (1.49, 1.12),
    "Cu": (1.15, 0.79),
    "Mo": (2.70, 1.22),
}

SURFACES = {  # element: energies of (100), (110), (111) / (J/m²)
    "Ni": (2.21, 2.29, 1.92),
    "Cu": (1.47, 1.56, 1.34),
    "Mo": (3.18, 2.80, 2.96),
}

PLANES = ((1, 0, 0), (1, 1, 0), (1, 1, 1))


def crystal(symbol, calculator):
    atoms = bulk(symbol, LATTICES[symbol])
    atoms.calc = calculator
    return atoms


def measure_vacancy(symbol, calculator):
    start = time.process_time()
    result = vacancy(crystal(symbol, calculator), migration=True)
    (site,) = result.sites
    path = site.hop.path
    formation, migration = VACANCIES[symbol]
    return {
        "atoms": result.n_atoms,
        "formation_eV": site.formation,
        "formation_unrelaxed_eV": site.formation_fixed,
        "formation_dft_eV": formation,
        "migration_eV": path.barrier_forward,
        "migration_dft_eV": migration,
        "imaginary_modes": path.imaginary_modes,
        "converged": result.converged,
        "warnings": path.warnings,
        "cpu_seconds": round(time.process_time() - start, 1),
    }


def measure_surface(symbol, hkl, reference, calculator):
    start = time.process_time()
    result = surface(crystal(symbol, calculator), hkl)
    face = result.terminations[0]
    fixed, relaxed = face.in_j_per_m2
    return {
        "hkl": hkl,
        "energy_J_per_m2": relaxed,
        "energy_unrelaxed_J_per_m2": fixed,
        "energy_dft_J_per_m2": reference,
        "layers": face.layers,
        "converged": result.converged,
        "warnings": result.warnings[1:],
        "cpu_seconds": round(time.process_time() - start, 1),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--potential", default="default")
    parser.add_argument("--out", help="write the numbers as JSON")
    args = parser.parse_args()
    potential = load_potential(args.potential)
    calculator = SymCalc(potential)
    known = set(potential.card.elements)
    print(f"{'vacancy':8}{'formation':>10}{'PBE':>7}{'migration':>11}{'PBE':>7}{'CPU / s':>9}   eV")
    vacancies = {}
    for symbol in VACANCIES:
        if symbol in known:
            vacancies[symbol] = row = measure_vacancy(symbol, calculator)
            names = ("formation_eV", "formation_dft_eV", "migration_eV", "migration_dft_eV")
            formation, ref, migration, other = (row[name] for name in names)
            numbers = f"{formation:10.2f}{ref:7.2f}{migration:11.2f}{other:7.2f}"
            print(f"{symbol:8}{numbers}{row['cpu_seconds']:9.1f}")
    print(f"{'surface':10}{'fixed':>7}{'relaxed':>9}{'PBE':>7}   J/m²")
    surfaces = {}
    for symbol in SURFACES:
        if symbol not in known:
            continue
        for hkl, reference in zip(PLANES, SURFACES[symbol], strict=True):
            row = measure_surface(symbol, hkl, reference, calculator)
            surfaces.setdefault(symbol, []).append(row)
            energies = f"{row['energy_unrelaxed_J_per_m2']:7.2f}{row['energy_J_per_m2']:9.2f}"
            mark = " *" if row["warnings"] else ""
            print(f"{symbol} {''.join(map(str, hkl)):7}{energies}{reference:7.2f}{mark}")
    if args.out:
        about = {
            "command": "python benchmarks/accuracy/defects.py",
            "potential": potential.card.name,
            "digest": potential.digest,
            "versions": {
                "ase_symcalc": __version__,
                "ase": ase.__version__,
                "torch": torch.__version__,
            },
            "date": time.strftime("%Y-%m-%d"),
        }
        with open(args.out, "w", encoding="utf-8") as stream:
            json.dump(about | {"vacancies": vacancies, "surfaces": surfaces}, stream, indent=2)


if __name__ == "__main__":
    main()
