"""The picture of a structure."""

from io import BytesIO

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.data.colors import jmol_colors
from matplotlib.image import imread

from ase_symcalc.apps.structure_plot import _with_images, plot_structure


def pixels(content, number):
    """How many pixels have the colour of an element."""
    image = imread(content)[:, :, :3]
    return int((np.abs(image - jmol_colors[number]).max(axis=2) < 0.01).sum())


@pytest.mark.parametrize(
    "atoms",
    [
        bulk("NaCl", "rocksalt", a=5.6),
        fcc111("Cu", (2, 2, 3), vacuum=6),
        molecule("C2H6"),
        Atoms("Cu"),
        bulk("Si") * (3, 3, 3),
    ],
    ids=["crystal", "slab", "molecule", "atom", "supercell"],
)
def test_every_element_is_drawn(atoms, tmp_path):
    before = atoms.copy()
    plot_structure(atoms, tmp_path / "a.png")
    assert atoms == before
    for number in set(atoms.numbers):
        if number != 1:  # hydrogen is white
            assert pixels(tmp_path / "a.png", number) > 500


def test_the_same_structure_gives_the_same_picture():
    first, second = BytesIO(), BytesIO()
    plot_structure(bulk("Cu"), first)
    plot_structure(bulk("Cu"), second)
    assert first.getvalue() == second.getvalue()


def test_atoms_at_a_face_are_drawn_on_both():
    cubic = bulk("Cu", cubic=True)
    cubic.positions += 7 * cubic.cell[0] - 1e-4  # outside, and a little below a face
    whole = _with_images(cubic)
    assert len(whole) == 14  # eight corners and six faces
    places = whole.get_scaled_positions(wrap=False)
    assert places.min() > -1e-3
    assert places.max() < 1 + 1e-3
    slab = fcc111("Cu", (1, 1, 1), vacuum=5)
    assert len(_with_images(slab)) == 4
    assert len(_with_images(molecule("H2O"))) == 3
