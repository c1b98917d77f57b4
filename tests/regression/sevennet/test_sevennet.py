"""Checkpoints that SevenNet wrote, read without it, against what it says itself."""

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
from ase_symcalc.potential_files import (
    golden_deviation,
    load_potential,
    make_golden,
    save_potential,
)
from ase_symcalc.potential_files.convert import convert_file, sevennet
from ase_symcalc.potential_files.convert.unpickle import read_checkpoint
from ase_symcalc.response import predict
from ase_symcalc.structures import build_graph

FOLDER = Path(__file__).parent
REFERENCE = json.loads((FOLDER / "reference.json").read_bytes())
STRUCTURES = {
    row["name"]: Atoms(row["numbers"], row["positions"], cell=row["cell"], pbc=row["pbc"])
    for row in REFERENCE["structures"]
}
INTERPRETER = os.environ.get("SEVENNET_PYTHON")
"""A Python that has sevenn."""


def read(label):
    file, _, modality = label.partition("@")
    model, _ = sevennet.convert(read_checkpoint(FOLDER / file), file, modality or None)
    return model.requires_grad_(False)


def deviations(model, expected, structures):
    """Largest differences of energies of atoms, forces and stress."""
    dtype = next(model.parameters()).dtype
    rows = []
    for atoms, numbers in zip(structures, expected, strict=True):
        found = predict(model, build_graph(atoms, model.cutoff, dtype=dtype))
        stress = numbers["stress"]
        rows.append(
            (
                np.abs(found.atomic_energies.numpy() - numbers["energies"]).max(),
                np.abs(found.forces.double().numpy() - numbers["forces"]).max(),
                0.0 if stress is None else np.abs(found.stress[0].numpy() - stress).max(),
            )
        )
    return np.max(rows, axis=0)


@pytest.mark.parametrize("label", REFERENCE["numbers"])
def test_float64_gives_the_numbers_of_sevennet(label):
    expected = REFERENCE["numbers"][label]
    assert deviations(read(label), expected, STRUCTURES.values()).max() < 1e-12
    assert max(np.abs(numbers["forces"]).max() for numbers in expected) > 1e-3


@pytest.mark.parametrize("label", REFERENCE["numbers"])
def test_float32_with_splines_gives_the_numbers_of_sevennet(label):
    file, _, modality = label.partition("@")
    model, card = convert_file(FOLDER / file, modality or None)
    assert model.config.num_intervals
    assert "cubic splines" in card.description
    energy, forces, stress = deviations(
        model.float(), REFERENCE["numbers"][label], STRUCTURES.values()
    )
    assert energy < 2e-6
    assert forces < 1e-4
    assert stress < 1e-5


@pytest.mark.parametrize("label", REFERENCE["numbers"])
@pytest.mark.parametrize("name", ["handed molecule", "its mirror image"])
def test_odd_features_have_the_sign_they_have_in_sevennet(label, name):
    model, kept = read(label), []

    def expand(features, irreps):
        kept.append(to_e3nn(features, Irreps(irreps)))
        return features

    environments = Environments.of(build_graph(STRUCTURES[name], model.cutoff))
    model(replace(environments, expand=expand))
    expected = REFERENCE["numbers"][label][list(STRUCTURES).index(name)]["features"]
    for found, features in zip(kept, expected, strict=True):
        features = torch.tensor(features, dtype=torch.float64)
        torch.testing.assert_close(found, features, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("label", REFERENCE["numbers"])
def test_mirror_images_differ_where_sevennet_says_so(label):
    energies = [
        sum(REFERENCE["numbers"][label][list(STRUCTURES).index(name)]["energies"])
        for name in ("handed molecule", "its mirror image")
    ]
    same = energies[0] == pytest.approx(energies[1], abs=1e-12)
    assert (read(label).group == "O3") == same


def test_what_is_converted_is_saved_and_read_again(tmp_path):
    model, card = convert_file(FOLDER / "no_parity.pth")
    golden = make_golden(model, {"crystal": STRUCTURES["sheared binary crystal"]}, "none")
    save_potential(tmp_path / "converted", model, card, golden)
    assert golden_deviation(load_potential(tmp_path / "converted")) == (0, 0, 0)
    assert golden_deviation(load_potential(tmp_path / "converted", dtype="float32")).energy < 2e-6


@pytest.mark.parametrize("selection", [None, "LDA"])
def test_a_modality_must_be_one_it_has(selection):
    with pytest.raises(PotentialFileError, match=r"one of its modalities .PBE, R2SCAN., got .*@"):
        convert_file(FOLDER / "modal.pth", selection)


def test_the_name_of_a_modality_may_be_written_small():
    _, card = convert_file(FOLDER / "modal.pth", "r2scan", dtypes=())
    assert card.name == "modal-r2scan"


def test_without_modalities_none_can_be_chosen():
    with pytest.raises(PotentialFileError, match=r"expected no @ and name.*got 'PBE'"):
        convert_file(FOLDER / "parity.pth", "PBE")


@pytest.fixture
def content():
    return read_checkpoint(FOLDER / "parity.pth")


def refuse(content, match):
    with pytest.raises(PotentialFileError, match=match) as error:
        sevennet.convert(content, "somewhere/parity.pth", None)
    assert "somewhere/parity.pth" in str(error.value)
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"channel": 10**9}, "1 to 10000 irreps; got '1000000000x0e'"),
        ({"channel": 1000}, "of shape .1000000,., got shape .16"),
        ({"channel": -4}, "expected the settings"),
        ({"irreps_manual": ["4x0e"] * 3}, "irreps before and after each of 3 layers"),
        ({"irreps_manual": ["999999999x0e"] * 4}, "1 to 10000 irreps"),
        ({"irreps_manual": [[["4x0e"]]] * 4}, "a list where a word should be"),
        ({"lmax": 10**9}, "degrees up to 1000000000, where 8"),
        ({"num_convolution_layer": 10**9}, "expected 1 to 32 layers"),
        ({"num_convolution_layer": 4}, "expected"),
        ({"weight_nn_hidden_neurons": [10**10]}, "of shape"),
        ({"radial_basis": {"bessel_basis_num": 10**10}}, "num_bessel from 1 to 1000"),
        ({"radial_basis": {"radial_basis_name": "gaussian"}}, "the radial basis 'gaussian'"),
        ({"cutoff_function": {"cutoff_function_name": "cosine"}}, "the cutoff function 'cosine'"),
        ({"cutoff_function": {"poly_cut_p_value": 5.5}}, "power 5.5"),
        ({"cutoff": -1.0}, "cutoff must be positive"),
        ({"cutoff": "far"}, "could not convert"),
        ({"self_connection_type": "other"}, "other"),
        ({"interaction_type": "mace"}, "the interaction type 'mace'"),
        ({"act_radial": "gelu"}, "radial_activation among"),
        ({"act_gate": {"e": {}}}, "a dict where a word should be"),
        ({"readout_as_fcn": True}, "readout_FCN"),
        ({"version": 11}, "with a strange"),
        ({"_type_map": {29: 0, 8: 0, 30: 2}}, "a table of elements"),
        ({"_type_map": {129: 0, 8: 1, 30: 2}}, "a table of elements"),
        ({"_type_map": None}, "with a strange"),
    ],
)
def test_settings_of_another_network_are_refused(content, change, match):
    refuse({**content, "config": {**content["config"], **change}}, match)


@pytest.mark.parametrize("missing", ["version", "cutoff", "_type_map", "num_convolution_layer"])
def test_missing_settings_are_named(content, missing):
    del content["config"][missing]
    refuse(content, missing)


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("1_self_interaction_1.linear.weight", torch.zeros(3), r"got shape \(3,\)"),
        ("1_self_interaction_1.linear.weight", None, "expected a table of named tensors"),
        ("0_convolution.weight_nn.layer0.weight", torch.full((6, 8), torch.nan), "finite"),
        ("0_convolution.denominator", torch.zeros(1), "division by zero"),
        ("3_convolution.denominator", torch.ones(1), "a kind of network that cannot"),
        (
            "1_convolution.convolution._compiled_main_left_right._w3j_1_1_1",
            torch.eye(3),
            "coupling",
        ),
    ],
)
def test_tensors_of_another_network_are_refused(content, name, value, match):
    refuse({**content, "model_state_dict": {**content["model_state_dict"], name: value}}, match)


def test_a_missing_tensor_is_named(content):
    del content["model_state_dict"]["rescale_atomic_energy.shift"]
    refuse(content, "'rescale_atomic_energy.shift' of shape .*, got none")


@pytest.mark.peer
@pytest.mark.skipif(
    INTERPRETER is None,
    reason="SEVENNET_PYTHON names no Python with sevenn 0.13, which the trained potentials need",
)
@pytest.mark.parametrize(
    "name",
    [
        "7net-0",
        "7net-0_22may2024",
        "7net-l3i5",
        "7net-mf-0@PBE",
        "7net-mf-0@R2SCAN",
    ],
)
def test_trained_potentials_give_the_numbers_of_sevennet(name, tmp_path):
    command = [INTERPRETER, "-W", "ignore", FOLDER / "recipe.py", name, tmp_path / "numbers.json"]
    subprocess.run(command, check=True, capture_output=True)
    reference = json.loads((tmp_path / "numbers.json").read_bytes())
    structures = [
        Atoms(row["numbers"], row["positions"], cell=row["cell"], pbc=row["pbc"])
        for row in reference["structures"]
    ]
    modality = name.partition("@")[2]
    address = reference["file"] + (f"@{modality}" if modality else "")
    double = load_potential(address)
    exact = double.model
    assert deviations(exact, reference["numbers"], structures).max() < 1e-10
    for atoms, expected in zip(structures, reference["numbers"], strict=True):
        found = evaluate(atoms, double)[0]  # by compiled kernels
        forces = np.array(expected["forces"])
        np.testing.assert_allclose(found.atomic_energies, expected["energies"], rtol=1e-10)
        atol = 1e-10 * max(abs(forces).max(), 1e-3)
        np.testing.assert_allclose(found.forces, forces, rtol=0, atol=atol)
    single = load_potential(address, dtype="float32").model
    energy, forces, stress = deviations(single, reference["numbers"], structures)
    assert energy < 5e-6  # of one atom; of the mean it is 1e-6
    assert forces < 1e-4
    assert stress < 1e-5
