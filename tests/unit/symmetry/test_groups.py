"""Groups: the 32 point groups against spglib, and the stabilisers of sites."""

import numpy as np
import pytest
import spglib
from ase import Atoms
from ase.build import bulk, fcc111
from ase.spacegroup import crystal

from ase_symcalc.errors import InputError
from ase_symcalc.symmetry import O3, POINT_GROUPS, SO3, Group, point_group, site_group

# spglib 2.8 tells every caller that its way of failing will change

ORDERS = "1 2 2 2 4 4 4 8 4 4 8 8 8 8 16 3 6 6 6 12 6 6 12 12 12 12 24 12 24 24 24 48"
HEXAGONAL = np.array([[1, 0, 0], [-0.5, np.sqrt(0.75), 0], [0, 0, 1.6]])


def elements(group):
    """Every element of a finite group."""
    found = [np.eye(3)]
    for element in found:
        for generator in group.discrete:
            product = generator @ element
            if not any(np.allclose(product, known) for known in found):
                found.append(product)
    return np.array(found)


@pytest.mark.parametrize(("name", "order"), list(zip(POINT_GROUPS, ORDERS.split(), strict=True)))
def test_point_groups_are_those_of_their_names(name, order):
    group = point_group(name)
    matrices = elements(group)
    assert len(matrices) == int(order)
    cell = HEXAGONAL if name.strip("-")[0] in "36" else np.eye(3)
    fractional = np.linalg.inv(cell.T) @ matrices @ cell.T
    np.testing.assert_allclose(fractional, np.rint(fractional), atol=1e-12)
    symbol, _, _ = spglib.get_pointgroup(np.rint(fractional).astype(int))
    assert symbol.strip() == name
    assert group.name == name


def test_point_groups_go_by_two_names():
    np.testing.assert_array_equal(point_group("Td").discrete, point_group("-43m").discrete)
    with pytest.raises(InputError, match=r"got 'D5'; known are 1 \(C1\), -1 \(Ci\)"):
        point_group("D5")


def test_generators_are_checked():
    shear = np.eye(3)[None] + np.eye(3, k=1)
    with pytest.raises(InputError, match="expected orthogonal Cartesian matrices"):
        Group("wrong", np.empty((0, 3, 3)), shear)
    with pytest.raises(InputError, match="expected antisymmetric matrices"):
        Group("wrong", shear, np.empty((0, 3, 3)))
    assert str(SO3) == "<group SO(3)>"
    assert len(O3.continuous) == 3
    assert len(O3.discrete) == 1


def rutile():
    sites = [(0, 0, 0), (0.3053, 0.3053, 0)]
    return crystal("TiO", sites, spacegroup=136, cellpar=[4.6, 4.6, 2.95, 90, 90, 90])


def test_a_site_group_is_the_stabiliser_of_the_site():
    atoms = rutile()
    titanium, oxygen = site_group(atoms, 0), site_group(atoms, -1)
    assert [titanium.name, oxygen.name] == ["m.mm", "m.2m"]
    assert len(elements(titanium)) == 8
    assert len(elements(oxygen)) == 4
    for matrix in oxygen.discrete:
        moved = atoms.copy()
        moved.positions = (moved.positions - moved.positions[-1]) @ matrix.T + moved.positions[-1]
        shifts = moved.get_scaled_positions()[:, None] - atoms.get_scaled_positions()
        assert (abs(shifts - shifts.round()).max(axis=-1).min(axis=1) < 1e-6).all()


@pytest.mark.parametrize(
    ("atoms", "order"),
    [
        (bulk("Cu") * (2, 1, 1), 48),
        (bulk("Si", cubic=True) * (1, 1, 3), 24),
        (bulk("NaCl", "rocksalt", a=5.6) * (1, 2, 3), 48),
        (bulk("Ti"), 12),
    ],
)
def test_a_site_group_is_that_of_the_crystal_not_of_the_cell(atoms, order):
    atoms.rotate(40, (1, 2, 3), rotate_cell=True)
    atoms.positions += (0.3, 0.4, 0.5)
    assert len(site_group(atoms, 1).discrete) == order - 1


def test_a_crystal_slightly_off_has_an_exact_site_group():
    atoms = bulk("Si", cubic=True)
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + 1e-4 * np.eye(3, k=1)), scale_atoms=True)
    atoms.rattle(1e-4, seed=0)
    group = site_group(atoms, 0, tolerance=1e-2)
    assert len(elements(group)) == 24
    squares = group.discrete @ group.discrete.transpose(0, 2, 1)
    np.testing.assert_allclose(squares, np.tile(np.eye(3), (23, 1, 1)), atol=1e-14)


def test_sites_are_asked_for_by_number_and_in_crystals():
    with pytest.raises(InputError, match="expected the index of one of 6 atoms, got 6"):
        site_group(rutile(), 6)
    with pytest.raises(InputError, match="repeat along all three directions"):
        site_group(fcc111("Cu", (1, 1, 3), vacuum=5), 0)
    on_one_another = Atoms("Cu2", [(0, 0, 0), (0, 0, 0)], cell=[3, 3, 3], pbc=True)
    with pytest.raises(InputError, match="no space group was found within 1e-05 Å"):
        site_group(on_one_another, 0)
