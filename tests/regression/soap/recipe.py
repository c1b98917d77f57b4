"""Power spectra by dscribe 2.1.2, as reference.

    python tests/regression/soap/recipe.py

Needs dscribe beside ASE. dscribe makes its functions orthogonal before it makes their norms 1,
which turns them into each other; so what both have in common is the Gram matrix of environments
for each pair of elements and each degree. dscribe's numbers are π √8 times ours: it has
π (8 / (2l + 1))^½ where Wigner's symbol has (2l + 1)^-½.
"""

import json
from pathlib import Path

from ase import Atoms
from dscribe.descriptors import SOAP

CUTOFF, N_MAX, LMAX, SIGMA = 4.5, 3, 4, 0.4

CELL = [[4.4, 0.2, 0.0], [0.3, 4.9, -0.4], [0.1, 0.5, 5.2]]
PLACES = [[0.1, 0.2, -0.1], [2.3, 2.4, 2.9], [0.2, 2.5, 2.2], [2.1, -0.1, 2.5]]


def main():
    atoms = Atoms("Ni2Mo2", PLACES, cell=CELL, pbc=True)
    weighting = {"function": "poly", "c": 1, "m": 2, "r0": CUTOFF, "w0": 0}
    soap = SOAP(
        r_cut=CUTOFF,
        n_max=N_MAX,
        l_max=LMAX,
        sigma=SIGMA,
        rbf="gto",
        species=["Ni", "Mo"],
        periodic=True,
        weighting=weighting,
    )
    reference = {
        "dscribe": "2.1.2",
        "cell": CELL,
        "positions": PLACES,
        "symbols": "Ni2Mo2",
        "cutoff": CUTOFF,
        "n_max": N_MAX,
        "lmax": LMAX,
        "sigma": SIGMA,
        "rows": soap.create(atoms, centers=[0, 2]).tolist(),
    }
    path = Path(__file__).with_name("reference.json")
    path.write_text(json.dumps(reference, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
