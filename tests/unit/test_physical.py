"""Scans of what atoms do where no data can be, on curves that are known."""

import re

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT

from ase_symcalc.testing import assert_stiff, scan_pair, squeeze


class Curve(Calculator):
    """Energy of a dimer by its distance."""

    implemented_properties = ("energy", "forces")

    def __init__(self, energy):
        super().__init__()
        self.energy = energy

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        r, h = atoms.get_distance(0, 1), 1e-5
        force = -(self.energy(r + h) - self.energy(r - h)) / (2 * h)
        self.results = {
            "energy": self.energy(r),
            "forces": np.array([[0, 0, -force], [0, 0, force]]),
        }


def morse(r):
    return ((1 - np.exp(-2 * (r - 2))) ** 2 - 1) * (r < 5)


def test_a_morse_curve_behaves():
    scan = scan_pair(Curve(lambda r: morse(r) + 1 / r * (r < 1)), "Cu", "Cu", 8.0)
    assert scan.faults == []
    assert scan.minima == pytest.approx([2.0], abs=0.02)
    assert scan.hole is None


def test_a_wall_alone_behaves():
    assert scan_pair(Curve(lambda r: np.exp(-3 * r)), "Cu", "Cu", 6.0).faults == []


@pytest.mark.parametrize(
    ("energy", "fault"),
    [
        (lambda r: morse(r) - 3000 * np.exp(-10 * r**2), "attracts below"),
        (lambda r: -np.exp(-r), "attracts"),
        (lambda r: morse(r) - np.exp(-20 * (r - 4) ** 2), "minima at 2.0., 4.0"),
        (lambda r: morse(r) + np.exp(-20 * (r - 4) ** 2), "barrier at 4"),
        (lambda r: np.nan * r, "not finite"),
        (lambda r: 1 / r, "not zero beyond"),
    ],
)
def test_each_fault_is_named(energy, fault):
    faults = scan_pair(Curve(energy), "Cu", "Cu", 6.0).faults
    assert any(re.search(fault, one) for one in faults), faults


def test_a_metal_is_stiff_and_a_curve_with_a_hole_is_not():
    atoms = bulk("Cu", a=3.6)
    before = atoms.copy()
    volumes, energies = squeeze(EMT(), atoms)
    assert volumes[0] == pytest.approx(atoms.get_volume())
    assert volumes[-1] == pytest.approx(atoms.get_volume() / 2)
    assert (np.diff(energies) > 0).all()
    assert_stiff(EMT(), atoms)
    assert atoms == before
    assert atoms.calc is None

    class Collapsing(Curve):
        def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
            self.results = {"energy": self.energy(atoms.get_volume())}

    with pytest.raises(AssertionError, match=r"falls from .* 0.6. of its volume"):
        assert_stiff(Collapsing(lambda v: -((v - 8) ** 2)), Atoms("Cu", cell=[2.3] * 3, pbc=True))
