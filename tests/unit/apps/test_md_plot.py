"""The picture of a run."""

import pytest
from ase.calculators.emt import EMT
from ase.cluster import Icosahedron
from matplotlib.image import imread

from ase_symcalc.apps import diffusion, radial_distribution
from ase_symcalc.apps.md import md
from ase_symcalc.apps.md_plot import plot_md
from ase_symcalc.apps.relax_plot import PICTURES
from tests.springs import spring_crystal


@pytest.mark.parametrize("ensemble", ["nve", "nvt-langevin", "npt"])
def test_picture_of_every_kind_of_run(tmp_path, ensemble):
    images = []
    result = md(
        spring_crystal(),
        steps=60,
        temperature=300.0,
        ensemble=ensemble,
        every=1,
        on_step=lambda step: images.append(step.atoms.copy()),
    )
    path = tmp_path / "md.png"
    spread = diffusion(images, result.timestep)
    plot_md(result, path, radial=radial_distribution(images), spread=spread, title=ensemble)
    assert imread(path).std() > 0.05


@pytest.mark.parametrize("ending", PICTURES)
def test_what_is_not_there_is_left_out(tmp_path, ending):
    cluster = Icosahedron("Cu", 2)
    cluster.calc = EMT()
    path = tmp_path / f"md{ending}"
    plot_md(md(cluster, steps=2, temperature=300.0, every=1), path)
    assert path.stat().st_size > 1000
