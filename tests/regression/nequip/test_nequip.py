"""Checkpoints that NequIP wrote, read without it, against what it says itself."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms

from ase_symcalc import evaluate, load_potential
from ase_symcalc.errors import PotentialFileError
from ase_symcalc.potential_files.convert import convert_file, nequip
from ase_symcalc.potential_files.convert.unpickle import read_checkpoint
from ase_symcalc.response import predict
from ase_symcalc.structures import build_graph

FOLDER = Path(__file__).parent
REFERENCE = json.loads((FOLDER / "reference.json").read_bytes())
STRUCTURES = [
    Atoms(row["numbers"], row["positions"], cell=row["cell"], pbc=row["pbc"])
    for row in REFERENCE["structures"]
]

INTERPRETER = os.environ.get("NEQUIP_PYTHON")
"""A Python that has nequip."""


@pytest.fixture(params=REFERENCE["numbers"])
def name(request):
    return request.param


def convert(content):
    model, _ = nequip.convert(content, "somewhere/best.ckpt", None)
    return model.requires_grad_(False)


def largest_deviations(model, expected, structures=STRUCTURES):
    dtype = next(model.parameters()).dtype
    rows = []
    for atoms, numbers in zip(structures, expected, strict=True):
        found = predict(model, build_graph(atoms, model.cutoff, dtype=dtype))
        rows.append(
            (
                np.abs(found.atomic_energies.numpy() - numbers["energies"]).max(),
                np.abs(found.forces.double().numpy() - numbers["forces"]).max(),
                np.abs(found.stress[0].numpy() - numbers["stress"]).max(),
            )
        )
    return np.max(rows, axis=0)


def test_float64_gives_the_numbers_of_nequip(name):
    model = convert(read_checkpoint(FOLDER / f"{name}.ckpt"))
    assert model.group == "O3"
    assert largest_deviations(model, REFERENCE["numbers"][name]).max() < 1e-12


def test_float32_with_splines_gives_the_numbers_of_nequip(name):
    model, card = convert_file(FOLDER / f"{name}.ckpt")
    assert f"written by NequIP {REFERENCE['versions']['nequip']}" in card.description
    energy, forces, stress = largest_deviations(model.float(), REFERENCE["numbers"][name])
    assert energy < 2e-6
    assert forces < 1e-4
    assert stress < 1e-5


def test_reference_energies_are_not_rounded_with_the_rest(name):
    model, _ = convert_file(FOLDER / f"{name}.ckpt")
    exact = model.reference_energies.clone()
    assert model.float().reference_energies.equal(exact)
    assert next(model.parameters()).dtype == torch.float32
    assert model.double().to("cpu").reference_energies.equal(exact)


def test_what_older_versions_call_their_tensors_is_known(name):
    content = read_checkpoint(FOLDER / f"{name}.ckpt")
    state = content["state_dict"]
    renamed = {k.replace(".tp_scatter.tp.", ".tp."): v for k, v in state.items()}
    assert renamed.keys() != state.keys()
    model = convert({**content, "state_dict": renamed})
    assert largest_deviations(model, REFERENCE["numbers"][name]).max() < 1e-12


@pytest.fixture
def content():
    return read_checkpoint(FOLDER / "natural.ckpt")


def refuse(content, match, selection=None):
    with pytest.raises(PotentialFileError, match=match) as error:
        nequip.convert(content, "somewhere/best.ckpt", selection)
    assert "somewhere/best.ckpt" in str(error.value)
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"_target_": "allegro.model.AllegroModel"}, "a model made by 'allegro.model.Allegro"),
        ({"_target_": ["nequip"]}, "a list where a word should be"),
        ({"pair_potential": {"_target_": "nequip.nn.pair_potential.ZBL"}}, "with pair_potential"),
        ({"per_edge_type_cutoff": {"O": 2.0}}, "with per_edge_type_cutoff"),
        ({"avg_num_neighbors": {"O": 2.0, "Zn": 3.0}}, "that differ by element"),
        ({"convnet_nonlinearity_type": "norm"}, "other than gates"),
        ({"polynomial_cutoff_p": 4.5}, "power 4.5"),
        ({"type_names": ["Zn", "water"]}, "chemical symbol such as 'Si'; got 'water'"),
        ({"l_max": 10**9}, "degrees up to 1000000000"),
        ({"num_layers": 10**9}, "1000000000 layers without the weights"),
        ({"num_features": 10**9}, "1 to 10000 irreps"),
        ({"num_features": 7}, "expected a tensor .* of shape"),
        ({"num_bessels": 10**9}, "num_bessel from 1 to 1000"),
        ({"r_max": None}, "float"),
    ],
)
def test_networks_of_another_kind_are_refused(content, change, match):
    content["hyper_parameters"]["model"].update(change)
    refuse(content, match)


def test_several_networks_in_one_file_are_refused(content):
    state = content["state_dict"]
    other = {k.replace("sole_model", "other"): v for k, v in state.items()}
    refuse({**content, "state_dict": {**state, **other}}, "2 models in one checkpoint")


def test_a_tensor_of_something_unknown_is_refused(content):
    prefix = "model.sole_model.model.func."
    content["state_dict"][f"{prefix}charges.weight"] = torch.ones(3)
    refuse(content, "'charges.weight' belongs to a kind of network")


def test_there_is_nothing_to_select(content):
    refuse(content, "expected no @ and name", selection="PBE")


@pytest.mark.peer
@pytest.mark.skipif(
    not INTERPRETER, reason="needs NEQUIP_PYTHON to name a Python that has nequip 0.19.1"
)
def test_a_network_for_many_elements_gives_the_numbers_of_nequip(tmp_path):
    recipe = [INTERPRETER, "-W", "ignore", FOLDER / "recipe.py", tmp_path]
    subprocess.run(recipe, check=True, capture_output=True)
    reference = json.loads((tmp_path / "reference.json").read_bytes())
    structures = [
        Atoms(row["numbers"], row["positions"], cell=row["cell"], pbc=row["pbc"])
        for row in reference["structures"]
    ]
    expected = reference["numbers"]["universal"]
    double = load_potential(tmp_path / "universal.ckpt")
    assert largest_deviations(double.model, expected, structures).max() < 1e-10
    for atoms, numbers in zip(structures, expected, strict=True):
        found = evaluate(atoms, double)[0]  # by compiled kernels
        forces = np.array(numbers["forces"])
        energies = np.ravel(numbers["energies"])
        np.testing.assert_allclose(found.atomic_energies, energies, rtol=1e-10)
        atol = 1e-10 * max(abs(forces).max(), 1e-3)
        np.testing.assert_allclose(found.forces, forces, rtol=0, atol=atol)
    single = load_potential(tmp_path / "universal.ckpt", dtype="float32").model
    energy, forces, stress = largest_deviations(single, expected, structures)
    assert energy < 5e-6  # of one atom; of the mean it is 1e-6
    assert forces < 1e-4
    assert stress < 1e-5
