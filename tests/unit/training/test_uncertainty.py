"""What is to be expected of forces, and how it is stored."""

from __future__ import annotations

import hashlib
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from safetensors import torch as safetensors
from scipy.stats import multivariate_normal

from ase_symcalc import SymCalc, load_potential
from ase_symcalc.cli.main import main
from ase_symcalc.errors import InputError, PotentialFileError, UnfamiliarAtomsWarning
from ase_symcalc.evaluation.uncertainty import (
    SMALLEST,
    expected_errors,
    outside,
    squared_distances,
)
from ase_symcalc.models import ModelConfig
from ase_symcalc.potential_files import read_card, write_card
from ase_symcalc.potential_files.error_model import UNCERTAINTY, ErrorModel
from ase_symcalc.training import TrainConfig, train
from ase_symcalc.training.calibrate import calibrate
from ase_symcalc.training.config import (
    CardConfig,
    DataConfig,
    DataFile,
    HeadConfig,
    OptimiserConfig,
    ScheduleConfig,
)
from ase_symcalc.training.uncertainty import BLUR, law, mixture


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    """Two clouds of points, one of them long."""
    rng = np.random.default_rng(3)
    clouds = rng.normal(size=(2, 400, 3)) * [[[1.0, 0.3, 0.2]], [[0.2, 0.2, 0.2]]]
    return np.vstack([clouds[0], clouds[1] + [4.0, 1.0, 0.0]])


def error_model(rows: np.ndarray, number: int = 29) -> ErrorModel:
    parts = mixture(rows, np.random.default_rng(0))
    return ErrorModel(
        exponent=0.5,
        elements=np.array([number]),
        prefactors=np.array([0.2]),
        limits=np.array([9.0]),
        components=np.full(len(parts), number),
        offsets=np.array([part.offset for part in parts]),
        means=np.array([part.mean for part in parts]),
        factors=np.array([part.factor for part in parts]),
    )


def test_a_mixture_has_the_density_of_its_points(rows: np.ndarray) -> None:
    """Against the true density: likelier points are nearer, up to the blur."""
    distances = squared_distances(error_model(rows), rows, np.full(len(rows), 29))
    densities = sum(
        multivariate_normal(mean, np.square(width)).pdf(rows)
        for mean, width in (([0, 0, 0], [1.0, 0.3, 0.2]), ([4.0, 1.0, 0.0], [0.2, 0.2, 0.2]))
    )
    assert np.corrcoef(np.argsort(np.argsort(distances)), np.argsort(np.argsort(-densities)))[
        0, 1
    ] == pytest.approx(1, abs=0.1)
    assert (distances >= 0).all()
    assert 0.1 < np.median(distances) < 2


def test_a_mixture_of_few_or_equal_points_is_one_gaussian() -> None:
    for rows in (np.ones((1, 4)), np.ones((9, 4)), np.eye(4)[:3]):
        (part,) = mixture(rows, np.random.default_rng(0))
        np.testing.assert_allclose(part.mean, rows.mean(axis=0), atol=1e-12)
        assert np.isfinite(part.factor).all()


def test_distance_does_not_depend_on_units_of_features(rows: np.ndarray) -> None:
    other = 7 * rows @ np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0] + 5
    numbers = np.full(len(rows), 29)
    expected = squared_distances(error_model(rows), rows, numbers)
    found = squared_distances(error_model(other), other, numbers)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_law_of_errors_is_found_again() -> None:
    rng = np.random.default_rng(5)
    kinds = rng.integers(0, 2, 20000)
    distances = rng.uniform(0, 10, 20000)
    mean = np.array([0.02, 0.3])[kinds] * (distances + SMALLEST) ** 0.7
    exponent, prefactors = law(distances, rng.gamma(2, mean / 2), kinds, 3)
    assert exponent == pytest.approx(0.7, abs=0.02)
    np.testing.assert_allclose(prefactors[:2], [0.02, 0.3], rtol=0.05)
    assert prefactors[2] == pytest.approx(np.sqrt(0.02 * 0.3), rel=0.1)  # nothing known of it


def test_errors_do_not_fall_with_distance() -> None:
    distances = np.linspace(0.1, 9, 50)
    assert law(distances, 1 / distances, np.zeros(50, int), 1)[0] == 0


def test_an_element_without_training_data_is_outside(rows: np.ndarray) -> None:
    model, numbers = error_model(rows), np.array([29, 79])
    distances = squared_distances(model, rows[:2], numbers)
    assert outside(model, distances, numbers).tolist() == [False, True]
    assert np.isfinite(expected_errors(model, distances, numbers)).tolist() == [True, False]
    assert BLUR > 0


@pytest.fixture(scope="module")
def once(
    data_file: Path, tiny_model: ModelConfig, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    config = TrainConfig(
        folder=str(tmp_path_factory.mktemp("once")),
        model=tiny_model,
        data=DataConfig(train=(DataFile(str(data_file)),), validation_fraction=0.25),
        optimiser=OptimiserConfig(max_edges=200, average_decay=0.9),
        schedule=ScheduleConfig(epochs=2),
        card=CardConfig(name="cuau"),
        seed=1,
        device="cpu",
    )
    return train(config, progress=False) / "potential"


@pytest.fixture
def trained(once: Path, tmp_path: Path) -> Path:
    """A copy that may be changed."""
    return Path(shutil.copytree(once, tmp_path / "cuau"))


def test_a_training_stores_what_errors_are_to_be_expected(
    trained: Path, frames: list[Atoms]
) -> None:
    calc = SymCalc(trained)
    found = np.concatenate([calc.get_uncertainty(atoms) for atoms in frames])
    true = np.concatenate(
        [np.linalg.norm(calc.get_forces(atoms) - atoms.get_forces(), axis=1) for atoms in frames]
    )
    assert found.min() > 0
    assert found.mean() == pytest.approx(true.mean(), rel=0.5)


def test_strange_atoms_are_named_once_for_a_structure(trained: Path, frames: list[Atoms]) -> None:
    calc = SymCalc(trained)
    familiar = calc.get_uncertainty(frames[1]).max()
    torn = frames[1] * (2, 1, 1)
    torn.positions[5] = torn.positions[4] + [1.2, 0, 0]
    with pytest.warns(UnfamiliarAtomsWarning, match=r"of 8 atoms .* cuau .* on: .*5"):
        assert calc.get_uncertainty(torn).max() >= familiar
    calc.get_forces(torn)
    calc.get_uncertainty(torn)  # warnings are errors
    calc.set(potential=str(trained), dtype="float32")
    with pytest.warns(UnfamiliarAtomsWarning):
        calc.get_uncertainty(torn)


def test_uncertainty_is_blind_to_rotations_and_leaves_results_alone(
    trained: Path, frames: list[Atoms]
) -> None:
    atoms = frames[2].copy()
    atoms.calc = SymCalc(trained)
    forces, found = atoms.get_forces(), atoms.calc.get_uncertainty(atoms)
    results = atoms.calc.results
    atoms.rotate(33, (1, 2, 3), rotate_cell=True)
    np.testing.assert_allclose(atoms.calc.get_uncertainty(atoms), found, rtol=1e-6)
    assert atoms.calc.results is results
    np.testing.assert_array_equal(atoms.calc.results["forces"], forces)


def test_calibrating_afterwards_gives_what_the_training_stored(
    trained: Path, tiny: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = (trained / UNCERTAINTY).read_bytes()
    calibrate(trained, tiny)
    assert (trained / UNCERTAINTY).read_bytes() == stored
    with pytest.raises(InputError, match="expected the configuration that cuau was trained with"):
        calibrate(trained, replace(tiny, model=replace(tiny.model, cutoff=3.0)))
    config = tmp_path / "train.toml"
    config.write_text(f"""
folder = "run"
seed = 1
model = {{elements = ["Cu", "Au"], cutoff = 3.5, num_layers = 1, num_channels = 4}}
data = {{train = ["{tiny.data.train[0].path}"], validation_fraction = 0.25}}
""")
    copy = tmp_path / "copy"
    assert main(["calibrate", str(trained), str(config), "--out", str(copy)]) == 0
    assert "2 elements" in capsys.readouterr().out
    assert (copy / UNCERTAINTY).read_bytes() == stored
    assert main(["calibrate", str(trained), str(config), "--out", str(copy)]) == 2
    assert "expected a folder that does not exist yet" in capsys.readouterr().err


def test_heads_have_errors_of_their_own(tiny: TrainConfig, data_file: Path, tmp_path: Path) -> None:
    train_files = tuple(replace(tiny.data.train[0], head=head) for head in ("a", "b"))
    config = replace(
        tiny,
        model=replace(tiny.model, heads=("a", "b")),
        data=replace(tiny.data, train=train_files),
        card=CardConfig(name="two", heads={"a": HeadConfig(), "b": HeadConfig()}),
    )
    folder = train(config, progress=False) / "potential"
    models = [load_potential(f"{folder}@{head}").error_model for head in ("a", "b")]
    assert all(isinstance(model, ErrorModel) for model in models)


def test_a_potential_without_says_so(trained: Path) -> None:
    potential = replace(load_potential(trained), error_model=None)
    with pytest.raises(Exception, match="this potential, cuau, has no uncertainty; make it"):
        SymCalc(potential).get_uncertainty(bulk("Cu"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"limits": torch.full((2,), torch.nan)}, "'limits' of 1 axes and finite numbers"),
        ({"means": torch.zeros(1, 3)}, "along an axis of 'means'"),
        ({"prefactors": torch.ones(3)}, "along an axis of 'prefactors'"),
    ],
)
def test_a_file_of_another_network_is_refused(
    trained: Path, change: dict[str, torch.Tensor], words: str
) -> None:
    content = safetensors.save({**safetensors.load((trained / UNCERTAINTY).read_bytes()), **change})
    (trained / UNCERTAINTY).write_bytes(content)
    card = read_card(trained)
    digest = hashlib.sha256(content).hexdigest()
    write_card(trained, replace(card, sha256={**card.sha256, UNCERTAINTY: digest}))
    with pytest.raises(PotentialFileError, match=words):
        load_potential(trained)


def test_a_damaged_file_is_refused(trained: Path) -> None:
    content = bytearray((trained / UNCERTAINTY).read_bytes())
    content[-1] ^= 1
    (trained / UNCERTAINTY).write_bytes(content)
    with pytest.raises(PotentialFileError, match="expected sha256"):
        load_potential(trained)


def test_dynamics_log_it_and_stop(
    trained: Path, frames: list[Atoms], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ase.io.write("start.extxyz", frames[1])
    options = ["md", "start.extxyz", "--potential", str(trained), "--temperature", "300"]
    options += ["--steps", "4", "--every", "1", "--quiet"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnfamiliarAtomsWarning)
        assert main([*options, "--uncertainty"]) in (0, 1)
        header, *logged = Path("start-md.csv").read_text().splitlines()
        assert header.endswith(",force_error_eV_per_A")
        assert len(logged) == 5
        assert all(float(line.split(",")[-1]) > 0 for line in logged)
        assert main([*options, "--trajectory", "short.traj", "--stop-above", "1e-9"]) == 1
    assert len(Path("short.csv").read_text().splitlines()) == 2
