"""Pictures that come with a potential."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.image import imread

from ase_symcalc.potential_files import Potential, load_potential
from ase_symcalc.training import TrainConfig, train
from ase_symcalc.training.portrait import LATTICES, _curve, plot_diatomics, plot_volumes


def test_a_panel_for_each_element(potential: Potential, tmp_path: Path) -> None:
    for plot in (plot_diatomics, plot_volumes):
        plot(tmp_path / "picture.png", potential)
        picture = imread(tmp_path / "picture.png")
        assert picture.shape[0] > 300
        assert picture.shape[1] > 500
        assert picture[..., :3].std() > 0.02


def test_lattices_have_neighbours_at_the_same_distance(potential: Potential) -> None:
    volumes = {name: _curve("Cu", name, potential)[0][0] for name in LATTICES}
    packing = {"fcc": 0.7405, "bcc": 0.6802, "hcp": 0.7405, "sc": 0.5236, "diamond": 0.3401}
    for name, volume in volumes.items():
        np.testing.assert_allclose(volume * packing[name], volumes["sc"] * 0.5236, rtol=2e-4)


def test_the_card_says_how_the_potential_came_about(tiny: TrainConfig) -> None:
    folder = train(tiny, progress=False) / "potential"
    training = load_potential(folder).card.training
    assert (training.seed, training.epochs) == (tiny.seed, tiny.schedule.epochs)
    assert training.microseconds_per_atom > 0
    text = (folder / "README.md").read_text()
    assert training.data_sha256 in text
    for name in ("diatomics.png", "energy-volume.png"):
        assert f"({name})" in text
        assert (folder / name).exists()
