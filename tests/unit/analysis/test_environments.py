"""Atoms are named and grouped as a crystallographer would."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bcc110, bulk, diamond111, fcc100, fcc111, molecule
from ase.lattice.cubic import FaceCenteredCubic
from ase.neighborlist import neighbor_list
from matplotlib.figure import Figure
from matplotlib.image import imread

from ase_symcalc.analysis import (
    GaussianBasis,
    PowerSpectrum,
    find_environments,
    group_rows,
    label_atoms,
    sphere_signal,
)
from ase_symcalc.analysis.environments import principal_axes
from ase_symcalc.analysis.environments_page import environments_page
from ase_symcalc.analysis.environments_plot import draw_atoms, plot_environments
from ase_symcalc.analysis.sphere import sphere_grid
from ase_symcalc.errors import InputError

BASIS = GaussianBasis(5.0, 3, 4)


def counts(atoms):
    return Counter(label_atoms(atoms)[0])


def shaken(atoms, noise=0.05):
    atoms.rattle(noise * 2.5, seed=4)
    return atoms


def stacking_fault():
    """ABC layers with one fault, ABCAB|ABC."""
    d, h = 2.55, 2.55 * (2 / 3) ** 0.5
    cell = np.array([[d, 0, 0], [d / 2, d * 0.75**0.5, 0], [0, 0, 11 * h]])
    shift = (cell[0] + cell[1]) / 3
    layers = ["ABC".index(letter) * shift + [0, 0, i * h] for i, letter in enumerate("ABCABABCABC")]
    return Atoms("Cu11", layers, cell=cell, pbc=True)


@pytest.mark.parametrize(
    ("label", "crystal"),
    [
        ("fcc", bulk("Ni", cubic=True) * (2, 2, 2)),
        ("bcc", bulk("Mo", cubic=True) * (3, 3, 3)),
        ("hcp", bulk("Ti") * (3, 3, 2)),
        ("diamond", bulk("Si", cubic=True)),
        ("diamond", bulk("GaAs", "zincblende", a=5.65, cubic=True)),
        ("fcc", bulk("Al")),
        ("bcc", bulk("Li")),
    ],
)
def test_crystals_are_named_cold_and_warm(label, crystal):
    assert counts(crystal.copy()) == {label: len(crystal)}
    warm = counts(shaken(crystal * (2, 2, 2), 0.04))
    assert warm[label] >= 0.97 * warm.total()


@pytest.mark.parametrize(
    ("slab", "inside"),
    [
        (fcc111("Al", (2, 2, 6), vacuum=6), "fcc"),
        (fcc100("Cu", (2, 2, 6), vacuum=6), "fcc"),
        (bcc110("Mo", (2, 2, 6), vacuum=6), "bcc"),
        (diamond111("Ge", (2, 2, 8), vacuum=6), "diamond"),
    ],
)
def test_surfaces_of_slabs_are_found(slab, inside):
    z = slab.positions[:, 2]
    outer = (z > z.max() - 0.1) | (z < z.min() + 0.1)
    labels = np.array(label_atoms(slab)[0])
    assert (labels[outer] == "surface").all()
    assert (labels[~outer] == inside).all()


def test_stacking_fault_is_two_layers_of_hcp():
    labels, distances = label_atoms(stacking_fault())
    assert [i for i, label in enumerate(labels) if label == "hcp"] == [4, 5]
    assert set(labels) == {"fcc", "hcp"}
    assert distances.max() < 2


def grain_boundary():
    """Two mirror-symmetric Σ5(210)[001] boundaries, at the bottom and in the middle of the cell.

    Pairs of atoms that the mirrors bring too close are one atom between them.
    """
    directions = [[-1, 2, 0], [0, 0, 1], [2, 1, 0]]
    grain = FaceCenteredCubic(directions=directions, size=(1, 2, 2), symbol="Cu")
    image = grain.copy()
    image.positions[:, 2] *= -1
    both = grain + image
    both.cell[2] *= 2
    keep = np.ones(len(both), dtype=bool)
    for i, j, vector in zip(*neighbor_list("ijD", both, 1.8), strict=True):
        if i < j and keep[i] and keep[j]:
            both.positions[i] += vector / 2
            keep[j] = False
    return both[keep]


def test_grain_boundaries_are_told_from_grains():
    atoms = grain_boundary()
    away = atoms.cell.lengths()[2] / 4
    away -= abs(atoms.positions[:, 2] % (2 * away) - away)
    labels = np.array(label_atoms(atoms)[0])
    assert (labels[away > 2.5] == "fcc").all()
    assert (labels[away < 0.1] != "fcc").all()
    found = find_environments([atoms], PowerSpectrum(("Cu",), GaussianBasis(5.0, 4, 4)))
    assert (found.groups[0][away > 5] == 0).all()
    assert (found.groups[0][away < 2] != 0).all()


def test_atoms_of_molecules_are_other():
    for name in ("H2O", "C6H6", "CH3CH2OH"):
        assert counts(molecule(name)).keys() == {"other"}


def test_atoms_in_no_group_are_counted():
    found = find_environments([bulk("Cu") * (2, 2, 2)], PowerSpectrum(("Cu",), BASIS))
    some = replace(found, groups=np.array([[-1, -1, 0, 0, 0, 0, 0, 0]]))
    split, alone = some.against_orbits()
    assert split.startswith("the orbit Cu 4a is in no group, group 1: alike")
    assert alone == "2 of 8 atoms are in no group"


def test_a_melt_is_named_liquid():
    rng = np.random.default_rng(3)
    atoms = bulk("Al", cubic=True) * (3, 3, 3)
    atoms.positions += rng.normal(0, 0.2 * 2.86, atoms.positions.shape)
    assert counts(atoms)["liquid"] > 0.7 * len(atoms)


def test_what_has_no_neighbours_has_no_name():
    with pytest.raises(InputError, match="no atom has a neighbour within 12 Å"):
        label_atoms(Atoms("Cu"))


@pytest.mark.parametrize("call", [label_atoms, lambda a: sphere_signal(a, 0, np.eye(3))])
def test_atoms_on_top_of_each_other_are_refused(call):
    crystal = bulk("Cu", cubic=True) * (2, 2, 2)
    crystal.positions[1] = crystal.positions[0]
    for atoms in (crystal, Atoms("H2", np.zeros((2, 3)))):
        with pytest.raises(InputError, match="0 Å apart"):
            call(atoms)


def test_flat_molecule_is_drawn_whole():
    axes = Figure().subplots()
    atoms = molecule("C2H2")
    atoms.rotate(90, "y")
    draw_atoms(axes, atoms, ["red"] * 4, "acetylene")
    assert min(axes.get_ylim()[1], -axes.get_ylim()[0]) > 0.2


def test_groups_are_orbits_where_surroundings_differ():
    rutile = Atoms(
        "Ti2O4",
        scaled_positions=[
            (0, 0, 0),
            (0.5, 0.5, 0.5),
            (0.305, 0.305, 0),
            (0.695, 0.695, 0),
            (0.195, 0.805, 0.5),
            (0.805, 0.195, 0.5),
        ],
        cell=[4.59, 4.59, 2.96],
        pbc=True,
    )
    found = find_environments([rutile * (1, 1, 2)], PowerSpectrum(("O", "Ti"), BASIS))
    assert found.n_groups == 2
    assert found.against_orbits() == ["each group is one Wyckoff orbit"]
    assert Counter(found.orbits) == {"Ti 2a": 4, "O 4f": 8}
    assert [name.split()[0] for name in found.group_names()] == ["O", "Ti"]


def test_stacking_fault_is_a_group():
    found = find_environments([stacking_fault()], PowerSpectrum(("Cu",), GaussianBasis(5.0, 4, 4)))
    assert found.group_names() == ["Cu fcc", "Cu hcp"]
    assert np.flatnonzero(found.groups[0] == 1).tolist() == [4, 5]


def test_groups_and_orbits_that_differ_are_told():
    found = find_environments([stacking_fault()], PowerSpectrum(("Cu",), BASIS), threshold=1.0)
    (sentence,) = found.against_orbits()
    assert "group 1 holds the orbits" in sentence
    slab = find_environments([fcc111("Al", (1, 1, 4), vacuum=6)], PowerSpectrum(("Al",), BASIS))
    assert slab.orbits is None
    assert "not a crystal" in slab.against_orbits()[0]


def test_frames_are_followed(tmp_path):
    crystal = bulk("Al", cubic=True) * (2, 2, 2)
    molten = crystal.copy()
    molten.positions += np.random.default_rng(1).normal(0, 0.6, molten.positions.shape)
    found = find_environments([crystal, molten], PowerSpectrum(("Al",), BASIS))
    assert found.groups.shape == (2, 32)
    course = found.fractions()
    assert course["fcc"][0] == 1
    assert course["fcc"][1] < 0.3
    assert len(set(found.groups[0])) == 1
    picture = tmp_path / "melt.png"
    plot_environments(found, picture, atom=3, title="melt")
    assert imread(picture).ndim == 3
    page = environments_page(
        found, title="<melt>", pictures=[("all", picture)], command_line="symcalc describe"
    )
    assert "&lt;melt&gt;" in page
    assert page.count("http") == 1  # the name of a header field, not an address
    assert 'src="data:image/png;base64,' in page


def test_methods_agree_on_clear_groups_and_number_them_by_size():
    rng = np.random.default_rng(5)
    centres = np.repeat(np.eye(3), [20, 30, 10], axis=0)
    rows = centres + rng.normal(0, 0.001, centres.shape)
    numbers = np.full(60, 29)
    expected = np.repeat([1, 0, 2], [20, 30, 10])
    for method in ("agglomerative", "hdbscan"):
        assert (group_rows(rows, numbers, method=method) == expected).all()
    numbers[:5] = 28
    assert len(set(group_rows(rows, numbers).tolist())) == 4


def test_many_rows_join_the_group_of_the_nearest(monkeypatch):
    rows = np.eye(2)[np.arange(400) % 3 % 2]
    monkeypatch.setattr("ase_symcalc.analysis.environments.SAMPLE", 50)
    groups = group_rows(rows, np.full(400, 29))
    assert (groups == np.arange(400) % 3 % 2).all()


def test_principal_axes_keep_distances_of_what_is_flat():
    rng = np.random.default_rng(6)
    flat = rng.normal(size=(20, 2))
    rows = flat @ np.linalg.qr(rng.normal(size=(5, 5)))[0][:2]
    places, explained = principal_axes(rows)
    assert sum(explained) == pytest.approx(1)
    distances = np.linalg.norm(places[:, None] - places, axis=2)
    np.testing.assert_allclose(distances, np.linalg.norm(flat[:, None] - flat, axis=2), atol=1e-12)
    assert principal_axes(rows[:1])[1] == (0.0, 0.0)


def test_signal_peaks_towards_the_neighbours():
    atoms = Atoms("Cu3", [(0, 0, 0), (2.5, 0, 0), (0, 0, -2.5)])
    signal = sphere_signal(atoms, 0, np.array([[1.0, 0, 0], [0, 0, -2.0], [0, 1.0, 0]]), lmax=10)
    assert signal[0] == pytest.approx(signal[1])
    assert signal[0] > 20 * abs(signal[2])
    assert sphere_grid(7).shape == (7, 14, 3)
    with pytest.raises(InputError, match="an atom from 0 to 2"):
        sphere_signal(atoms, 3, np.eye(3))
    with pytest.raises(InputError, match="a degree of 0 or more"):
        sphere_signal(atoms, 0, np.eye(3), lmax=-1)


@pytest.mark.parametrize(
    ("images", "settings", "message"),
    [
        ([], {}, "at least one structure"),
        ([bulk("Cu"), bulk("Al")], {}, "the same atoms in the same order"),
        ([bulk("Cu")], {"method": "kmeans"}, "'agglomerative' or 'hdbscan'"),
        ([bulk("Cu")], {"threshold": 0.0}, "a threshold above 0"),
        ([bulk("Cu") * (2, 1, 1)], {"method": "hdbscan"}, "a smaller min_size"),
    ],
)
def test_what_cannot_be_grouped_is_refused(images, settings, message):
    with pytest.raises(InputError, match=message):
        find_environments(images, PowerSpectrum(("Cu",), BASIS), **settings)
