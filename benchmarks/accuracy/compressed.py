"""Perfect crystals under strong compression, labelled by an equation of state.

    python benchmarks/accuracy/compressed.py --potential pbe16 --out compressed.extxyz

DFT frames end near 0.8 of the equilibrium volume, and a network does as it pleases beyond. These
anchors say what any solid does there, by Vinet's equation of state (P. Vinet, J. H. Rose,
J. Ferrante, J. R. Smith, J. Phys.: Condens. Matter 1, 1941 (1989)):

    E(x) = E0 + 9 B V0 / η² · (1 - (1 - η (1 - x)) exp(η (1 - x)))
    x = (V/V0)^(1/3),  η = 3/2 (B' - 1)

E0, V0 and B are those of a potential of the same level of theory near equilibrium, B' is a usual
value of the crystal. These are no DFT results: give them a low weight. Below 0.65 V0 metals get
their curve in another packing, too, for packings differ little there.
"""

import argparse

import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from ase_symcalc import SymCalc
from ase_symcalc.apps import relax

COMPRESSIONS = (0.8, 0.72, 0.64, 0.56, 0.48, 0.42, 0.36)
ELEMENTS = {  # lattice, a in Å, B'
    "Li": ("bcc", 3.44, 3.5),
    "Nb": ("bcc", 3.31, 3.9),
    "Mo": ("bcc", 3.16, 4.3),
    "Ta": ("bcc", 3.32, 3.8),
    "W": ("bcc", 3.19, 4.3),
    "Ni": ("fcc", 3.52, 4.9),
    "Cu": ("fcc", 3.63, 5.0),
    "Ag": ("fcc", 4.15, 5.8),
    "Au": ("fcc", 4.16, 5.8),
    "Si": ("diamond", 5.47, 4.3),
    "Ge": ("diamond", 5.76, 4.8),
}
OTHER_PACKING = {"bcc": "fcc", "fcc": "bcc"}


def crystals():
    """Each crystal, its B' and the shapes it is squeezed in."""
    for symbol, (lattice, a, derivative) in ELEMENTS.items():
        atoms = bulk(symbol, lattice, a=a)
        other = OTHER_PACKING.get(lattice)
        yield atoms, derivative, [bulk(symbol, other, a=a)] if other else []
    yield bulk("MgO", "rocksalt", a=4.25), 4.1, []
    places = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
    yield Atoms("SrTiO3", scaled_positions=places, cell=[3.945] * 3, pbc=True), 4.4, []
    places = [(1 / 3, 2 / 3, 0), (2 / 3, 1 / 3, 0), (0, 0, 0.5), (0, 0, 0)]
    cell = [3.64, 3.64, 3.87, 90, 90, 120]
    yield Atoms("Li3N", scaled_positions=places, cell=cell, pbc=True), 3.9, []


def equilibrium(atoms):
    """E0 (eV), V0 (Å³) and B (eV/Å³) from a cubic through 3 % of the lattice constant around it."""
    v0 = atoms.get_volume()
    scales = np.linspace(0.97, 1.03, 7)
    energies = []
    for scale in scales:
        strained = atoms.copy()
        strained.calc = atoms.calc
        strained.set_cell(atoms.cell * scale, scale_atoms=True)
        energies.append(strained.get_potential_energy())
    curve = np.polynomial.Polynomial.fit(v0 * scales**3, energies, 3)
    bend = curve.deriv(2)
    v0 = next(v.real for v in curve.deriv().roots() if abs(v.imag) < 1e-9 and bend(v.real) > 0)
    return curve(v0), v0, v0 * bend(v0)


def vinet(v, e0, v0, bulk_modulus, derivative):
    """Energy (eV) and pressure (eV/Å³)."""
    x, eta = (v / v0) ** (1 / 3), 1.5 * (derivative - 1)
    growth = np.exp(eta * (1 - x))
    energy = e0 + 9 * bulk_modulus * v0 / eta**2 * (1 - (1 - eta * (1 - x)) * growth)
    return energy, 3 * bulk_modulus * (1 - x) / x**2 * growth


def squeezed(shape, share, settings):
    """One labelled frame, whose atoms feel no force by symmetry; ``share`` of V0 for each atom."""
    e0, v0, bulk_modulus, derivative, n = settings
    energy, pressure = vinet(share * v0, e0, v0, bulk_modulus, derivative)
    atoms = shape.copy()
    volume = share * v0 * len(atoms) / n
    atoms.set_cell(atoms.cell * (volume / atoms.get_volume()) ** (1 / 3), scale_atoms=True)
    atoms.info.update(config_type="Vinet", source="equation of state")
    atoms.calc = SinglePointCalculator(
        atoms,
        energy=energy * len(atoms) / n,
        forces=np.zeros((len(atoms), 3)),
        stress=np.array([-pressure] * 3 + [0.0] * 3),
    )
    return atoms


def main():
    """Write the frames."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--potential", default="pbe16")
    parser.add_argument("--out", default="compressed.extxyz")
    args = parser.parse_args()
    calc, frames = SymCalc(args.potential), []
    for crystal, derivative, others in crystals():
        crystal.calc = calc
        atoms = relax(crystal, fmax=1e-4).atoms
        atoms.calc = calc
        e0, v0, bulk_modulus = equilibrium(atoms)
        n = len(atoms)
        print(
            f"{atoms.symbols!s:8} E0 {e0 / n:9.4f} eV, V0 {v0 / n:7.3f} Å³, "
            f"B {bulk_modulus / units.GPa:6.1f} GPa"
        )
        settings = (e0, v0, bulk_modulus, derivative, n)
        atoms.calc = None
        frames += [squeezed(atoms, share, settings) for share in COMPRESSIONS]
        frames += [squeezed(o, share, settings) for o in others for share in COMPRESSIONS[2:]]
    write(args.out, frames)


if __name__ == "__main__":
    main()
