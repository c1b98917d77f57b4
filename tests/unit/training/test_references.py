from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ase_symcalc.response import predict
from ase_symcalc.training.config import DataFile
from ase_symcalc.training.dataset import read_frames
from ase_symcalc.training.references import (
    fit_baseline,
    mean_neighbours,
    refit_references,
    subtract_references,
)


def test_energies_that_are_sums_of_atoms_are_fitted_exactly(data_file: Path) -> None:
    frames = read_frames(DataFile(str(data_file)), 3.5, ("Cu", "Au"), weights={})
    fixed = subtract_references(frames, ("Cu", "Au"), np.array([3.0, -2.0]))
    shifts = np.array([a.energy - b.energy for a, b in zip(frames, fixed, strict=True)])
    baseline = fit_baseline(frames, ("Cu", "Au"))
    rest = subtract_references(frames, ("Cu", "Au"), baseline.reference_energies)
    assert abs(np.mean([f.energy / f.graph.n_atoms for f in rest])) < 1e-9
    gold = [(f.graph.atomic_numbers == 79).sum().item() for f in frames]
    copper = [f.graph.n_atoms - n for f, n in zip(frames, gold, strict=True)]
    np.testing.assert_allclose(shifts, 3 * np.array(copper) - 2 * np.array(gold))


def test_scale_and_density_are_what_the_frames_hold(data_file: Path) -> None:
    frames = read_frames(DataFile(str(data_file)), 3.5, ("Cu", "Au"), weights={})
    baseline = fit_baseline(frames, ("Cu", "Au"))
    forces = np.concatenate([f.forces for f in frames])
    assert baseline.scale == pytest.approx(np.sqrt(np.mean(forces**2)))
    n_atoms = sum(f.graph.n_atoms for f in frames)
    assert mean_neighbours(frames) == sum(f.graph.n_edges for f in frames) / n_atoms


def test_compositions_that_leave_a_freedom_are_reported(
    data_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frames = read_frames(DataFile(str(data_file), "1::3"), 3.5, ("Cu", "Au"), weights={})
    with caplog.at_level(logging.WARNING):
        baseline = fit_baseline(frames, ("Cu", "Au"))
    assert "fix only 1 of the 2 reference energies (Cu, Au)" in caplog.text
    assert np.isfinite(baseline.reference_energies).all()


def test_frames_without_labels_have_no_say(data_file: Path) -> None:
    frames = read_frames(DataFile(str(data_file)), 3.5, ("Cu", "Au"), weights={})
    bare = [replace(frame, energy=None, forces=None, stress=None) for frame in frames]
    baseline, with_bare = (fit_baseline(own, ("Cu", "Au")) for own in (frames, frames + bare))
    np.testing.assert_allclose(with_bare.reference_energies, baseline.reference_energies)
    assert with_bare.scale == baseline.scale
    assert subtract_references(bare, ("Cu", "Au"), np.ones(2)) == bare
    nothing = fit_baseline(bare, ("Cu", "Au"))
    assert (nothing.scale, *nothing.reference_energies) == (1.0, 0.0, 0.0)


def test_references_move_to_another_zero_of_energy(data_file: Path, pair_model: type) -> None:
    model, elements, old = pair_model(), ("Cu", "Au"), np.array([1.0, 2.0])
    frames = read_frames(DataFile(str(data_file)), 3.5, elements, weights={})
    energies = [float(predict(model, frame.graph, derivatives=False).energy) for frame in frames]
    said = [replace(f, energy=e) for f, e in zip(frames, energies, strict=True)]
    moved = subtract_references(said, elements, -np.array([4.0, -3.0]))
    found = refit_references(moved, model, old, max_edges=500)
    np.testing.assert_allclose(found, [4.0, -3.0], atol=1e-5)
    # copper alone says nothing of gold, which stays where it was
    copper = [f for f in moved if (f.graph.atomic_numbers == 29).all()]
    found = refit_references(copper, model, old, max_edges=500)
    np.testing.assert_allclose(found, [4.0, 2.0], atol=1e-5)
