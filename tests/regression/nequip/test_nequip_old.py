"""Models that NequIP 0.6 wrote, read without it, against what it says itself."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms

from ase_symcalc.errors import PotentialFileError
from ase_symcalc.potential_files.convert import convert_file, nequip_old
from ase_symcalc.potential_files.convert.plain_yaml import read_settings
from ase_symcalc.potential_files.convert.unpickle import Program, read_checkpoint
from ase_symcalc.response import predict
from ase_symcalc.structures import build_graph

FOLDER = Path(__file__).parent
REFERENCE = json.loads((FOLDER / "reference_old.json").read_bytes())
ROWS = [
    row
    for row in json.loads((FOLDER / "reference.json").read_bytes())["structures"]
    if row["name"] != "lone atom"
]
STRUCTURES = [
    Atoms(row["numbers"], row["positions"], cell=row["cell"], pbc=row["pbc"]) for row in ROWS
]


@pytest.mark.parametrize(
    ("file", "group"), [("deployed.pth", "O3"), ("training/best_model.pth", "SO3")]
)
def test_float64_gives_the_numbers_of_nequip(file, group):
    model, card = convert_file(FOLDER / file, dtypes=())
    assert model.group == group
    assert "written by NequIP 0.6" in card.description
    for atoms, numbers in zip(STRUCTURES, REFERENCE["numbers"][file], strict=True):
        found = predict(model, build_graph(atoms, model.cutoff))
        energies = np.ravel(numbers["energies"])
        np.testing.assert_allclose(found.atomic_energies.numpy(), energies, rtol=1e-14)
        np.testing.assert_allclose(found.forces, numbers["forces"], rtol=0, atol=1e-14)
        np.testing.assert_allclose(found.stress[0], numbers["stress"], rtol=0, atol=1e-15)
        assert np.abs(numbers["forces"]).max() > 1e-3


@pytest.fixture
def program():
    return read_checkpoint(FOLDER / "deployed.pth")


def refuse(content, match, where="somewhere/deployed.pth"):
    with pytest.raises(PotentialFileError, match=match) as error:
        nequip_old.convert(content, where, None)
    assert where in str(error.value)
    assert len(str(error.value)) < 1000


def changed(program, old, new):
    config = program.extra["config"].decode()
    assert old in config
    return Program(program.module, {**program.extra, "config": config.replace(old, new).encode()})


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("- EnergyModel", "- allegro.model.Allegro", "a model made by 'Allegro'"),
        ("- EnergyModel", "- EnergyModel\n- PairPotential", "a model made by 'PairPotential'"),
        ("num_layers: 3", "nonlinearity_type: norm\nnum_layers: 3", "other than gates"),
        ("num_layers: 3", "resnet: true\nnum_layers: 3", "residual updates"),
        ("num_layers: 3", "num_layers: 1000000000", "1000000000 layers, where 32"),
        ("num_layers: 3", "num_layers: 4", "expected a tensor 'layer3_convnet"),
        ("num_layers: 3", "num_layers: [3]", "the setting num_layers in a way"),
        ("num_basis: 6", "num_basis: 1000000000", "num_bessel from 1 to 1000"),
        ("num_basis: 6", "num_basis: 7", "bessel_weights' of shape .7,., got shape .6,"),
        ("invariant_layers: 2", "invariant_layers: 1000000000", "of shape"),
        ("l_max: 2", "l_max: 2\nlayer0_p: 5", "the setting layer0_p"),
        ("l_max: 2", "l_max: 2\nPolynomialCutoff_p: 4.5", "power 4.5"),
        ("1x0e+1x1o+1x2e", "1x0e+1x1o", "expected a tensor .* of shape"),
        ("1x0e+1x1o+1x2e", "1x0e+1x1o+1x2o", "the spherical harmonics 1x0e"),
        ("irreps_edge_sh: 1x0e+1x1o+1x2e", "irreps_edge_sh: 1000000000", "degrees up to 99"),
        ("chemical_embedding_irreps_out: 4x0e", "chemical_embedding_irreps_out: 4", "word should"),
        ("avg_num_neighbors: 8.0", "avg_num_neighbors: auto", "'auto', where a number"),
        ("r_max: 4.0", "r_max: null", "float"),
        ("r_max: 4.0", "r_max: 4.0\nr_max: 5.0", "settings with the line 'r_max: 5.0'"),
    ],
)
def test_networks_of_another_kind_are_refused(program, old, new, match):
    refuse(changed(program, old, new), match)


def test_an_energy_for_whole_structures_is_refused(program):
    program.module.state["model"].state["shift_by"] = torch.ones(1)
    refuse(program, "global_rescale_shift")


def test_a_tensor_of_something_unknown_is_refused(program):
    program.module.state["model"].state["charges"] = torch.ones(3)
    refuse(program, "'outside.model.charges' belongs to a kind of network")


def test_a_module_within_itself_is_refused(program):
    program.module.state["again"] = program.module
    refuse(program, "a program without the modules of a network")


def test_weights_without_settings_are_refused_with_what_to_do(tmp_path):
    path = tmp_path / "best_model.pth"
    shutil.copy(FOLDER / "training" / "best_model.pth", path)
    content = read_checkpoint(path)
    refuse(content, r"config.yaml in the same folder.*nequip-deploy build", str(path))
    (tmp_path / "config.yaml").write_text("l_max: 2\n" * 2)
    refuse(content, "settings with the line", str(path))
    (tmp_path / "config.yaml").write_text("#" * 2_000_000)
    refuse(content, "more than 1048576 characters", str(path))


def test_there_is_nothing_to_select():
    with pytest.raises(PotentialFileError, match="expected no @ and name"):
        convert_file(FOLDER / "deployed.pth", "PBE")


def test_settings_are_read_as_they_are_written():
    text = """
# a comment
words: 4x0e+4x1o
quoted: 'it''s'
double: "a\\nb"
numbers:
- 1
- 2.5
nested:
  e: silu
  'o': tanh
nothing: null
also_nothing:
truth: true
empty: []
tuple:
- !!python/tuple
  - a
  - 1
shared: &id001
- 1
called: !!python/object/apply:os.system ["true"]
"""
    read = read_settings(text)
    strange = {name: read.pop(name).text for name in ("tuple", "shared", "called")}
    assert "os.system" in strange["called"]
    assert read == {
        "words": "4x0e+4x1o",
        "quoted": "it's",
        "double": "a\nb",
        "numbers": [1, 2.5],
        "nested": {"e": "silu", "o": "tanh"},
        "nothing": None,
        "also_nothing": None,
        "truth": True,
        "empty": [],
    }


@pytest.mark.parametrize("text", ["- a\n- b: 1\nrubbish", "{a: 1}", "a: 1\na: 2", "\x00"])
def test_what_is_no_table_of_settings_is_refused(text):
    with pytest.raises(ValueError, match="settings with the line"):
        read_settings(text)


@pytest.mark.parametrize(
    ("file", "same"), [("deployed.pth", True), ("training/best_model.pth", False)]
)
def test_mirror_images_differ_where_nequip_says_so(file, same):
    names = [row["name"] for row in ROWS]
    energies = [
        np.sum(REFERENCE["numbers"][file][names.index(name)]["energies"])
        for name in ("handed molecule", "its mirror image")
    ]
    assert (energies[0] == pytest.approx(energies[1], abs=1e-12)) == same
