import json
import stat
from dataclasses import replace

import numpy as np
import pytest
import torch

from ase_symcalc import SymCalc
from ase_symcalc.errors import InputError, PotentialFileError
from ase_symcalc.potential_files import golden_deviation, load_potential, read_card, save_potential
from ase_symcalc.response import predict
from ase_symcalc.structures import build_graph


def test_what_is_loaded_is_what_was_saved(saved, model):
    potential = load_potential(saved)
    stored = model.state_dict()
    loaded = potential.model.state_dict()
    assert loaded.keys() == stored.keys()
    for name, tensor in loaded.items():
        torch.testing.assert_close(tensor, stored[name].to(tensor.dtype), rtol=0, atol=0)
    assert potential.model.config == model.config
    assert potential.folder == saved
    assert (potential.device, potential.dtype) == (torch.device("cpu"), torch.float64)


def test_a_loaded_model_is_not_trained_any_more(saved):
    model = load_potential(saved).model
    assert not model.training
    assert not any(weight.requires_grad for weight in model.parameters())


def test_loaded_in_inference_mode_it_can_still_be_differentiated(saved, structures):
    with torch.inference_mode():
        potential = load_potential(saved)
    graph = build_graph(structures["silane"], potential.model.cutoff)
    assert predict(potential.model, graph).forces is not None


def test_torchs_default_device_changes_nothing(saved, silicon):
    expected = SymCalc(saved).get_property("forces", silicon)
    torch.set_default_device("meta")
    try:
        potential = load_potential(saved)
        forces = SymCalc(potential).get_property("forces", silicon)
        assert torch.get_default_device() == torch.device("meta")
    finally:
        torch.set_default_device(None)
    assert {weight.device for weight in potential.model.state_dict().values()} == {potential.device}
    np.testing.assert_array_equal(forces, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_weights_get_the_dtype_asked_for(saved, dtype):
    potential = load_potential(saved, dtype=dtype)
    assert {weight.dtype for weight in potential.model.parameters()} == {getattr(torch, dtype)}
    assert potential.dtype == getattr(torch, dtype)


def test_loading_touches_no_global_state(saved):
    state, dtype = torch.get_rng_state(), torch.get_default_dtype()
    load_potential(saved)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_default_dtype() == dtype


def test_the_golden_numbers_come_again(saved):
    assert np.allclose(golden_deviation(load_potential(saved)), 0, atol=1e-12)
    single = golden_deviation(load_potential(saved, dtype="float32"))
    assert 0 < max(single) < 1e-3


def test_golden_numbers_say_how_they_were_made(saved):
    golden = json.loads((saved / "golden.json").read_text())
    assert golden["command"] == "pytest"
    assert set(golden["versions"]) >= {"python", "ase_symcalc", "torch", "ase"}
    stress = {row["name"]: row["stress"] for row in golden["structures"]}
    assert np.shape(stress["silicon"]) == (3, 3)
    assert stress["silane"] is None
    assert stress["lone atom"] is None


def test_only_a_saved_potential_has_golden_numbers(saved):
    with pytest.raises(InputError, match="save it first"):
        golden_deviation(replace(load_potential(saved), folder=None))


def test_the_digest_is_that_of_the_files(saved, folder):
    digest = load_potential(saved).digest
    assert load_potential(folder).digest == digest
    card = read_card(folder)
    other = replace(card, sha256={**card.sha256, "config.json": 64 * "0"})
    assert replace(load_potential(folder), card=other).digest != digest


def test_saving_writes_these_files_and_no_other(saved):
    names = {"card.toml", "config.json", "weights.safetensors", "golden.json", "README.md"}
    assert {path.name for path in saved.iterdir()} == names
    assert [path.name for path in saved.parent.iterdir()] == ["tiny"]
    assert set(read_card(saved).sha256) == names - {"card.toml", "README.md"}


def test_others_may_read_what_was_saved(saved):
    assert stat.S_IMODE(saved.stat().st_mode) == stat.S_IMODE(saved.parent.stat().st_mode) | 0o055


def test_saving_over_something_is_refused(folder, model, make_card, golden):
    before = (folder / "card.toml").read_bytes()
    with pytest.raises(InputError, match="expected a folder that does not exist yet"):
        save_potential(folder, model, make_card(), golden)
    assert (folder / "card.toml").read_bytes() == before


def test_a_failed_save_leaves_nothing(tmp_path, model, make_card, monkeypatch, golden):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("ase_symcalc.potential_files.save.write_card", fail)
    with pytest.raises(OSError, match="disk full"):
        save_potential(tmp_path / "new", model, make_card(), golden)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "change", [{"elements": ("H",), "pairs": ()}, {"cutoff": 2.5}, {"interaction_range": 9.0}]
)
def test_a_card_of_another_network_is_not_saved(tmp_path, model, make_card, golden, change):
    with pytest.raises(PotentialFileError, match=f"agree, got {next(iter(change))}"):
        save_potential(tmp_path / "new", model, make_card(**change), golden)


def test_the_page_for_people_says_what_the_card_says(saved):
    page = (saved / "README.md").read_text()
    for words in (
        "tiny 1.0",
        "preview",
        "| silicon | 1.0 | 20 | 0.50 |",
        "| silane | 2.0 | 30 |  |",
    ):
        assert words in page


def test_an_impossible_dtype_or_device_is_refused(saved):
    with pytest.raises(InputError, match="expected dtype to be float64 or float32, got 'double'"):
        load_potential(saved, dtype="double")
    with pytest.raises(InputError, match="device='cpu' always works"):
        load_potential(saved, device="nowhere")
    with pytest.raises(InputError, match="expected a device that this machine has"):
        load_potential(saved, device="cuda:99")
