"""Phonon bands of silicon, copper and magnesia, and frequencies beside measured ones.

    python benchmarks/accuracy/phonons.py --out benchmarks/results/phonons.json

Pictures go beside the JSON. Measured frequencies, by neutron scattering at room temperature, are
quoted from memory: Si from Dolling (Inelastic Scattering of Neutrons in Solids and Liquids, IAEA,
Vienna 1963, II p. 37) and Nilsson and Nelin, Phys. Rev. B 6, 3777 (1972); Cu from Svensson,
Brockhouse and Rowe, Phys. Rev. 155, 619 (1967); MgO from Sangster, Peckham and Saunderson,
J. Phys. C 3, 1026 (1970). The longitudinal optical modes of MgO at Γ (21.5 THz) are not listed:
LO-TO splitting is left out. Lengths in "wider" say how frequencies change in a supercell of 16 Å.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
from ase.build import bulk

sys.path.insert(0, str(Path(__file__).parents[1]))
from _timing import about

from ase_symcalc import SymCalc, load_potential
from ase_symcalc.apps import phonons, relax
from ase_symcalc.apps.phonons_plot import plot_phonons

CRYSTALS = {  # name: structure, potential, measured frequencies by point, THz, ascending
    "Si": (
        bulk("Si"),
        "metals-preview",
        {
            "Γ": [0, 0, 0, 15.53, 15.53, 15.53],
            "X": [4.49, 4.49, 12.32, 12.32, 13.90, 13.90],
            "L": [3.43, 3.43, 11.35, 12.60, 14.68, 14.68],
        },
    ),
    "Cu": (
        bulk("Cu"),
        "metals-preview",
        {"Γ": [0, 0, 0], "X": [5.08, 5.08, 7.19], "L": [3.37, 3.37, 7.30]},
    ),
    "MgO": (
        bulk("MgO", "rocksalt", a=4.25),
        "pbe16",
        {"Γ": [0, 0, 0, 12.05, 12.05, None], "X": [8.96, 8.96, 12.65, 13.28, 13.28, 16.6]},
    ),
}

WIDER = 16.0


def corners(result):
    found = {segment.start.label: segment.frequencies[0] for segment in result.bands}
    return found | {segment.end.label: segment.frequencies[-1] for segment in result.bands}


def measure(name, folder):
    atoms, potential, measured = CRYSTALS[name]
    atoms = atoms.copy()
    atoms.calc = SymCalc(potential)
    start = relax(atoms, fmax=1e-4).atoms
    begin = time.perf_counter()
    result = phonons(start)
    seconds = time.perf_counter() - begin
    wider = corners(phonons(start, min_length=WIDER))
    card = load_potential(potential).card
    picture = folder / f"phonons_{name}.png"
    plot_phonons(result, picture, title=f"{name}, {card.name} {card.version}")
    return {
        "potential": card.name,
        "n_supercell_atoms": result.n_supercell_atoms,
        "n_displacements": result.n_displacements,
        "seconds": round(seconds, 2),
        "acoustic_at_gamma_THz": float(np.sort(np.abs(result.gamma))[2]),
        "imaginary": len(result.imaginary),
        "points": {
            label: {
                "frequency_THz": (np.round(frequencies, 3) + 0.0).tolist(),
                "measured_THz": measured.get(label),
                "wider_THz": (np.round(wider[label] - frequencies, 3) + 0.0).tolist(),
            }
            for label, frequencies in corners(result).items()
        },
        "warnings": list(result.warnings),
        "picture": picture.name,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(CRYSTALS), default=list(CRYSTALS))
    parser.add_argument("--out", type=Path, help="write the numbers as JSON, pictures beside it")
    args = parser.parse_args()
    folder = args.out.parent if args.out else Path()
    rows = {name: measure(name, folder) for name in args.only}
    for name, row in rows.items():
        print(
            f"{name} with {row['potential']}: {row['n_displacements']} of "
            f"{row['n_supercell_atoms']} atoms displaced, {row['seconds']} s, acoustic at Γ "
            f"{row['acoustic_at_gamma_THz']:.1e} THz"
        )
        for label, point in row["points"].items():
            print(f"  {label:3}", *(f"{value:8.2f}" for value in point["frequency_THz"]))
            if point["measured_THz"]:
                values = [" " * 8 if v is None else f"{v:8.2f}" for v in point["measured_THz"]]
                print("  exp", *values)
    if args.out:
        settings = {"only": args.only, "wider_angstrom": WIDER}
        result = about(settings=settings, crystals=rows)
        args.out.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
