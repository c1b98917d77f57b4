"""Committees from one command, and what a kill leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from ase import Atoms

from ase_symcalc import SymCalc
from ase_symcalc.cli.main import main
from ase_symcalc.errors import InputError
from ase_symcalc.potential_files import load_potential
from ase_symcalc.training import TrainConfig, train
from ase_symcalc.training.config import CardConfig

TOML = """
folder = "{folder}"
seed = 2
model = {{elements = ["Cu", "Au"], cutoff = 3.5, num_layers = 1, num_channels = 4, lmax = 1, \
sh_lmax = 1, radial_width = 8}}
data = {{train = ["{data}"], validation_fraction = 0.25}}
optimiser = {{max_edges = 100}}
schedule = {{epochs = {epochs}, checkpoint_minutes = {minutes}}}
device = "cpu"
"""


def test_members_differ_in_their_seed_and_share_their_data(
    tiny: TrainConfig, frames: list[Atoms]
) -> None:
    config = replace(tiny, members=2, card=CardConfig(name="pair"))
    folder = train(config, progress=False)
    members = [folder / f"member-{i}" / "potential" for i in (1, 2)]
    one, two = (load_potential(member) for member in members)
    assert (one.card.name, two.card.name) == ("pair-1", "pair-2")
    assert not one.model.embedding.equal(two.model.embedding)
    assert one.model.reference_energies.equal(two.model.reference_energies)
    atoms = frames[1].copy()
    atoms.calc = SymCalc(members)
    assert atoms.calc.get_uncertainty(atoms).max() > 0
    alone = train(replace(tiny, folder=tiny.folder + "-alone"), progress=False)
    first = load_potential(alone / "potential").model
    torch.testing.assert_close(first.state_dict(), one.model.state_dict(), rtol=1e-4, atol=1e-6)


def test_a_committee_goes_on_where_it_was(
    tiny: TrainConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    short = replace(tiny, members=2, schedule=replace(tiny.schedule, max_minutes=0.0))
    folder = train(short, progress=False)
    assert [path.name for path in folder.iterdir()] == ["member-1"]
    train(replace(tiny, members=2))
    out = capsys.readouterr().out
    assert "member 1 of 2, seed 1\ngoing on from epoch 0, batch 1" in out
    assert "member 2 of 2, seed 2\n" in out
    assert (folder / "member-2" / "potential").is_dir()


def test_the_command_takes_a_number_of_members(data_file: Path, tmp_path: Path) -> None:
    (tmp_path / "train.toml").write_text(
        TOML.format(folder="run", data=data_file, epochs=2, minutes=1)
    )
    assert main(["train", str(tmp_path / "train.toml"), "--members", "2", "--quiet"]) == 0
    assert (tmp_path / "run" / "member-2" / "potential").is_dir()
    assert main(["train", str(tmp_path / "train.toml"), "--members", "0", "--quiet"]) == 2


def test_there_is_at_least_one_member(tiny: TrainConfig) -> None:
    with pytest.raises(InputError, match="members must be positive; got 0"):
        replace(tiny, members=0)


def test_the_device_is_found_if_none_is_named(tiny: TrainConfig) -> None:
    folder = train(replace(tiny, device="auto"), progress=False)
    assert load_potential(folder / "potential").card.dtype == "float32"


def test_a_process_killed_at_any_moment_goes_on_bit_for_bit(
    data_file: Path, tmp_path: Path
) -> None:
    """By SIGKILL, which nothing can prepare for, against a run that nobody stopped."""
    script = "import sys; from ase_symcalc.cli.main import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", script, "train", "--quiet"]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    for name, minutes in (("whole", 9.0), ("killed", 0.0)):
        text = TOML.format(folder=name, data=data_file, epochs=4, minutes=minutes)
        (tmp_path / f"{name}.toml").write_text(text)
    checkpoint = tmp_path / "killed" / "checkpoint.pt"
    process = subprocess.Popen([*command, str(tmp_path / "killed.toml")], env=one_thread)
    deadline = time.monotonic() + 300
    while not checkpoint.exists():
        assert time.monotonic() < deadline
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert torch.load(checkpoint, weights_only=True)["counters"][0] < 4
    text = (tmp_path / "killed.toml").read_text().replace("minutes = 0.0", "minutes = 9.0")
    (tmp_path / "killed.toml").write_text(text)
    for name in ("whole", "killed"):
        subprocess.run([*command, str(tmp_path / f"{name}.toml")], env=one_thread, check=True)
    whole, killed = (
        torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)
        for name in ("whole", "killed")
    )
    for part in ("model", "average"):
        for name, tensor in whole[part].items():
            assert torch.equal(tensor, killed[part][name]), (part, name)
    for number, moments in whole["optimiser"]["state"].items():
        for name, tensor in moments.items():
            assert torch.equal(tensor, killed["optimiser"]["state"][number][name])
    assert whole["counters"] == killed["counters"]
    files = [tmp_path / name / "potential" / "weights.safetensors" for name in ("whole", "killed")]
    assert files[0].read_bytes() == files[1].read_bytes()
