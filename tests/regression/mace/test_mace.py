"""Models that mace-torch wrote, read without it, against what it says itself."""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from e3nn.o3 import Irreps

from ase_symcalc import evaluate
from ase_symcalc.errors import PotentialFileError
from ase_symcalc.graph import Environments
from ase_symcalc.nn.layout import to_e3nn
from ase_symcalc.potential_files import load_potential, make_golden, save_potential
from ase_symcalc.potential_files.convert import convert_file, mace
from ase_symcalc.potential_files.convert.unpickle import Reference, read_checkpoint
from ase_symcalc.response import predict
from ase_symcalc.structures import build_graph

FOLDER = Path(__file__).parent
REFERENCE = json.loads((FOLDER / "reference.json").read_bytes())
INTERPRETER = os.environ.get("MACE_PYTHON")
"""A Python that has mace-torch."""


def read(folder, key):
    name, _, head = key.partition("@")
    content = read_checkpoint(folder / f"{name}.model")
    model, _ = mace.convert(content, f"{name}.model", head or None)
    return model.requires_grad_(False)


def deviations(model, reference, key):
    """Largest differences of energy per atom, forces and stress, with their sizes."""
    dtype = next(model.parameters()).dtype
    rows = []
    for name, expected in reference["results"][key].items():
        atoms = Atoms(**reference["structures"][name])
        found = predict(model, build_graph(atoms, model.cutoff, dtype=dtype))
        stress = expected["stress"]
        rows.append(
            (
                abs(found.energy.item() - expected["energy"]) / len(atoms),
                np.abs(found.forces.double().numpy() - expected["forces"]).max(),
                0.0 if stress is None else np.abs(found.stress[0].numpy() - stress).max(),
            )
        )
    return np.max(rows, axis=0)


@pytest.mark.parametrize("key", REFERENCE["results"])
def test_float64_gives_the_numbers_of_mace(key):
    energy, forces, stress = deviations(read(FOLDER, key), REFERENCE, key)
    if key == "soft":  # float32 in the file, and with it the polynomials' coefficients
        assert max(energy, forces, stress) < 1e-8
    else:
        assert max(energy, forces, stress) < 1e-12


@pytest.mark.parametrize("key", REFERENCE["results"])
def test_float32_with_splines_gives_the_numbers_of_mace(key):
    name, _, head = key.partition("@")
    model, _ = convert_file(FOLDER / f"{name}.model", head or None)
    energy, forces, stress = deviations(model.float(), REFERENCE, key)
    assert energy < 1e-6
    assert forces < 1e-4
    assert stress < 1e-5


@pytest.mark.parametrize("key", REFERENCE["results"])
def test_odd_features_have_the_sign_they_have_in_mace(key):
    model = read(FOLDER, key)
    kept = []
    model.layers[0].register_forward_hook(lambda layer, args, out: kept.append(out))
    atoms = Atoms(**REFERENCE["structures"]["handed"])
    model(Environments.of(build_graph(atoms, model.cutoff)))
    features = to_e3nn(kept[0], Irreps(str(model.layers[0].irreps_out)))
    expected = torch.tensor(REFERENCE["results"][key]["handed"]["features"], dtype=torch.float64)
    torch.testing.assert_close(features, expected, rtol=1e-6, atol=1e-8)


def test_a_head_is_chosen_by_name_and_stands_on_the_card():
    chosen = {
        selection: convert_file(FOLDER / "density.model", selection)
        for selection in (None, "default", "Other")
    }
    cards = {selection: card.description for selection, (_, card) in chosen.items()}
    assert "head 'default' of default, other" in cards[None]
    assert "head 'other' of default, other" in cards["Other"]
    assert torch.equal(chosen[None][0].reference_energies, chosen["default"][0].reference_energies)


@pytest.mark.parametrize(
    ("file", "selection", "names"), [("density", "nobody", "default, other"), ("soft", "x", "Def")]
)
def test_a_head_that_is_not_there_is_refused(file, selection, names):
    with pytest.raises(PotentialFileError, match=f"its heads .{names}.*, got {selection!r}"):
        convert_file(FOLDER / f"{file}.model", selection)


def test_several_heads_without_a_default_are_refused():
    content = read_checkpoint(FOLDER / "density.model")
    content.state["heads"] = ["here", "there"]
    with pytest.raises(PotentialFileError, match=r"heads \(here, there\), got none"):
        mace.convert(content, "density.model", None)


def module(content, path):
    for name in path.split(".") if path else []:
        content = content.state["_modules"][name]
    return content


@pytest.mark.parametrize(
    ("parent", "name", "kind", "words"),
    [
        ("interactions", "1", "RealAgnosticAttResidualInteractionBlock", "an interaction of type"),
        ("readouts", "1", "NonLinearBiasReadoutBlock", "a readout of type"),
        ("radial_embedding", "bessel_fn", "ChebychevBasis", "a radial basis of type"),
        ("radial_embedding", "distance_transform", "OtherTransform", "a distance transform of"),
        ("interactions.0", "linear", "CuetLinear", "a linear map of type Linear, got CuetLinear"),
    ],
)
def test_a_network_of_another_kind_is_refused(parent, name, kind, words):
    content = read_checkpoint(FOLDER / "density.model")
    modules = module(content, parent).state["_modules"]
    modules[name] = replace(modules[name], name=f"mace.modules.blocks.{kind}")
    with pytest.raises(PotentialFileError, match=words):
        mace.convert(content, "density.model", None)


def test_a_model_of_another_kind_is_refused():
    content = replace(
        read_checkpoint(FOLDER / "soft.model"), name="mace.modules.models.AtomicDipolesMACE"
    )
    with pytest.raises(PotentialFileError, match="type ScaleShiftMACE or MACE, got AtomicDipoles"):
        mace.convert(content, "soft.model", None)


def _other_gate(content):
    acts = module(content, "readouts.2.non_linearity.acts")
    acts.state["_modules"]["0"].state["f"] = Reference("torch.tanh")


def _odd_polynomials(content):
    product = module(content, "products.0.symmetric_contractions.contractions.0")
    product.state["_buffers"]["U_matrix_2"] += 0.1


def _endless_features(content):
    product = content.state["_modules"]["products"].state["_modules"]["0"]
    product.state["_modules"]["linear"].state["irreps_out"] = "1000000x0e+1000000x1o"


def _endless_widths(content):
    interaction = content.state["_modules"]["interactions"].state["_modules"]["0"]
    interaction.state["_modules"]["conv_tp_weights"].state["hs"] = [5, 10**9, 10**6, 9]


def _short_weights(content):
    module(content, "node_embedding.linear").state["_parameters"]["weight"] = torch.ones(3)


def _extra_tensor(content):
    content.state["_parameters"]["charges"] = torch.ones(3)


def _missing_module(content):
    del content.state["_modules"]["spherical_harmonics"]


def _endless(content):
    module(content, "interactions.0").state["_modules"]["again"] = content


def _not_a_number(content):
    module(content, "node_embedding.linear").state["_parameters"]["weight"][0] = torch.nan


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_other_gate, "'torch.tanh', not silu"),
        (_odd_polynomials, "polynomials of degree 2 that do not turn"),
        (_short_weights, r"'node_embedding.linear.weight' of shape \(20,\), got shape \(3,\)"),
        (_endless_features, "linear_up.weight"),
        (_endless_widths, "conv_tp_weights.layer0.weight"),
        (_extra_tensor, "'charges' belongs to a kind of network"),
        (_missing_module, "as mace-torch pickles it, got: 'spherical_harmonics'"),
        (_endless, "nested more than 16 deep"),
        (_not_a_number, "expected finite numbers"),
    ],
)
def test_a_changed_file_is_refused_with_a_sentence(change, words):
    content = read_checkpoint(FOLDER / "soft.model")
    change(content)
    with pytest.raises(PotentialFileError, match=words):
        mace.convert(content, "soft.model", None)


def test_a_converted_model_is_saved_and_loaded(tmp_path):
    model, card = convert_file(FOLDER / "density.model")
    atoms = Atoms(**REFERENCE["structures"]["sheared"])
    save_potential(tmp_path / "saved", model, card, make_golden(model, {"sheared": atoms}, "none"))
    again = load_potential(tmp_path / "saved").model
    graph = build_graph(atoms, model.cutoff)
    assert torch.equal(predict(model, graph).forces, predict(again, graph).forces)


@pytest.mark.peer
@pytest.mark.slow
@pytest.mark.skipif(
    not INTERPRETER, reason="needs MACE_PYTHON to name a Python that has mace-torch 0.3.16"
)
def test_models_of_the_size_of_universal_ones_give_the_numbers_of_mace(tmp_path):
    recipe = [INTERPRETER, "-W", "ignore", FOLDER / "recipe.py", tmp_path, "large"]
    subprocess.run(recipe, check=True)
    reference = json.loads((tmp_path / "reference.json").read_bytes())
    for key in reference["results"]:
        assert deviations(read(tmp_path, key), reference, key).max() < 1e-10
        double = load_potential(tmp_path / f"{key}.model")
        for name, expected in reference["results"][key].items():
            found = evaluate(Atoms(**reference["structures"][name]), double)[0]  # compiled
            forces = np.array(expected["forces"])
            assert found.energy == pytest.approx(expected["energy"], rel=1e-10)
            atol = 1e-10 * max(abs(forces).max(), 1e-3)
            np.testing.assert_allclose(found.forces, forces, rtol=0, atol=atol)
        model, _ = convert_file(tmp_path / f"{key}.model")
        energy, forces, stress = deviations(model.float(), reference, key)
        assert energy < 1e-6
        assert forces < 1e-4
        assert stress < 1e-5
