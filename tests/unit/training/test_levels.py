from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT

from ase_symcalc.errors import InputError
from ase_symcalc.structures import build_graph
from ase_symcalc.training.dataset import Frame
from ase_symcalc.training.levels import check_levels

CUTOFF = 5.0


def frame(atoms: Atoms, energy: float, source: str = "one", number: int = 0) -> Frame:
    return Frame(
        graph=build_graph(atoms, CUTOFF),
        energy=energy,
        forces=None,
        stress=None,
        deviatoric=False,
        weight=1.0,
        head="",
        source=source,
        config_type="",
        name=f"frame {number} of {source}",
        number=number,
        run="",
    )


def rattled(source: str, offset: float, size: float, count: int = 12) -> list[Frame]:
    """Copper crystals; energies off by so much an atom."""
    frames = []
    for n in range(count):
        atoms = bulk("Cu", cubic=True)
        atoms.rattle(size, rng=np.random.default_rng([n, len(source)]))
        atoms.calc = EMT()
        energy = atoms.get_potential_energy() + offset * len(atoms)
        frames.append(frame(atoms, energy, source, n))
    return frames


def test_one_structure_with_two_energies_is_refused_however_it_is_written() -> None:
    primitive = bulk("CuZn", "cesiumchloride", a=2.95)
    other = primitive * (1, 2, 3)
    other.rotate(33, (1, 2, 3), rotate_cell=True)
    other.positions += 0.7
    other = other[np.random.default_rng(0).permutation(len(other))]
    check_levels([frame(primitive, 1.0), frame(other, 6.0, "two")])
    with pytest.raises(
        InputError, match=r"frame 0 of one and frame 3 of two are the same .* 0\.03"
    ):
        check_levels([frame(primitive, 1.0), frame(other, 6.0 + 0.03 * 12, "two", 3)])


def test_orders_of_an_alloy_are_different_structures() -> None:
    rng = np.random.default_rng(1)
    orders = []
    for n in range(60):
        atoms = bulk("Cu", a=3.9, cubic=True) * (2, 1, 1)
        atoms.numbers[rng.permutation(8)[:4]] = 79
        atoms.calc = EMT()
        orders.append(frame(atoms, 10 * atoms.get_potential_energy(), "alloys", n))
    assert np.ptp([order.energy for order in orders]) > 8 * 0.1
    check_levels(orders)


def test_heads_are_not_compared() -> None:
    atoms = bulk("Cu")
    other = replace(frame(atoms, 5.0, "two"), head="pbesol")
    check_levels([frame(atoms, 0.0), other])


def test_nearly_equal_structures_tell_levels_apart() -> None:
    one = rattled("one", 0.0, 0.02)
    check_levels(one + rattled("other", 0.0, 0.03))
    check_levels(one + rattled("warmer", 0.0, 0.15))
    with pytest.raises(InputError, match=r"other and one are of different levels .* 0\.3"):
        check_levels(one + rattled("other", 0.3, 0.03))


def test_zeros_of_energy_that_cannot_be_one_are_refused() -> None:
    oxides = [frame(molecule("CO2"), 3 * -7.0, "oxides"), frame(molecule("CO"), -13.0, "oxides")]
    pseudo = [frame(molecule("H2O"), -476.0, "water"), frame(molecule("H2"), -31.7, "water")]
    check_levels(oxides)
    check_levels(pseudo)
    with pytest.raises(InputError, match=r"oxides and water have different zeros: .* of O"):
        check_levels(oxides + pseudo)


def test_all_electrons_are_not_mixed_with_a_few() -> None:
    molecules = [frame(molecule("CH4"), -1101.6, "orca")]
    salt = [frame(bulk("MgO", "rocksalt", a=4.2), -11.9, "vasp")]
    check_levels(molecules)
    check_levels(salt)
    with pytest.raises(InputError, match=r"orca holds energies of all electrons .* vasp does not"):
        check_levels(molecules + salt)


def test_frames_without_energy_are_passed_over() -> None:
    atoms = bulk("Cu")
    check_levels([frame(atoms, 0.0), replace(frame(atoms, 9.0), energy=None)])
    check_levels([])
