"""Networks of NequIP type with random weights: what their settings promise."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from e3nn.o3 import rand_matrix

from ase_symcalc.errors import InputError
from ase_symcalc.graph import Environments
from ase_symcalc.models import build_model, config_from_dict
from ase_symcalc.models.nequip_config import NequIPConfig
from ase_symcalc.response import hessian, predict
from ase_symcalc.structures import build_graph

PARITY = NequIPConfig(
    elements=("O", "Cu"),
    cutoff=4.0,
    irreps=("6x0e", "4x0o+6x0e+3x1o+2x1e", "4x0o+6x0e+3x1o+2x1e", "6x0e"),
    sh_lmax=2,
    parity=True,
    num_bessel=5,
    radial_widths=(8,),
    connections=("none", "species", "shared"),
    biases=True,
    readout_widths=(4,),
)
WITHOUT = replace(
    PARITY,
    parity=False,
    irreps=("6x0e", "6x0e+4x1e+2x2e", "6x0e+4x1e+2x2e", "6x0e"),  # fewer layers feel no hand
    connections=("shared", "species", "none"),
    envelope="xplor",
    envelope_parameter=3.0,
    solid_harmonics=True,
)


def network(config):
    model = build_model(config, seed=3).double().requires_grad_(False)
    for name, weight in model.named_parameters():
        if name.endswith("_bias"):
            weight.normal_(generator=torch.Generator().manual_seed(1))
    return model


def handed():
    return Atoms("CuOCuO", [(0, 0, 0), (1.9, 0.2, 0), (1.7, 2.0, 0.3), (0.2, 1.8, 1.6)])


def energy(model, atoms):
    graph = build_graph(atoms, model.cutoff)
    return float(predict(model, graph, derivatives=False).energy)


@pytest.mark.parametrize("config", [PARITY, WITHOUT], ids=["parity", "without"])
def test_settings_survive_json(config):
    assert config_from_dict(config.to_dict()) == config


@pytest.mark.parametrize("config", [PARITY, WITHOUT], ids=["parity", "without"])
def test_rotations_leave_the_energy_alone(config):
    model, atoms = network(config), handed()
    turned = atoms.copy()
    turned.positions = atoms.positions @ rand_matrix(dtype=torch.float64).numpy().T
    assert energy(model, turned) == pytest.approx(energy(model, atoms), abs=1e-10)


@pytest.mark.parametrize(("config", "group"), [(PARITY, "O3"), (WITHOUT, "SO3")])
def test_the_group_says_what_a_mirror_does(config, group):
    model, atoms = network(config), handed()
    mirrored = atoms.copy()
    mirrored.positions *= (1, 1, -1)
    assert model.group == group
    same = energy(model, mirrored) == pytest.approx(energy(model, atoms), abs=1e-10)
    assert same == (group == "O3")


def test_an_even_function_of_odd_scalars_breaks_mirror_symmetry():
    assert build_model(replace(PARITY, odd_activation="abs")).group == "SO3"
    natural = ("6x0e", "6x0e+3x1o", "6x0e+3x1o", "6x0e")  # where there are no such scalars
    assert build_model(replace(PARITY, odd_activation="abs", irreps=natural)).group == "O3"


@pytest.mark.parametrize("config", [PARITY, WITHOUT], ids=["parity", "without"])
@pytest.mark.parametrize("splined", [False, True], ids=["exact", "splined"])
def test_forces_are_the_gradient_of_the_energy(config, splined):
    model, atoms = network(config), handed()
    model.radial.exact = () if splined else model.radial.exact
    forces = predict(model, build_graph(atoms, model.cutoff)).forces
    step, (i, a) = 1e-4, (1, 2)
    energies = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions[i, a] += sign * step
        energies.append(energy(model, moved))
    numerical = -(energies[0] - energies[1]) / (2 * step)
    assert float(forces[i, a]) == pytest.approx(numerical, rel=1e-5, abs=1e-7)


def test_splines_can_be_differentiated_twice():
    model, atoms = network(PARITY), handed()
    graph = build_graph(atoms, model.cutoff)
    exact = hessian(model, graph)
    model.radial.exact = ()
    torch.testing.assert_close(hessian(model, graph), exact, rtol=1e-2, atol=1e-3 * exact.max())


def test_splines_in_float32_come_close_to_the_functions():
    model = network(WITHOUT)
    crystal = bulk("CuO", "rocksalt", a=4.2)
    exact = energy(model, crystal)
    graph = build_graph(crystal, model.cutoff, dtype=torch.float32)
    splined = float(predict(model.float(), graph, derivatives=False).energy)
    assert splined == pytest.approx(exact, abs=1e-5)


def test_an_atom_alone_has_an_energy_and_no_force():
    model = network(PARITY)
    prediction = predict(model, build_graph(Atoms("Cu"), model.cutoff))
    assert np.isfinite(float(prediction.energy))
    assert not prediction.forces.any()


def test_every_layer_but_the_first_expands_its_rows():
    model, seen = network(PARITY), []

    def expand(features, irreps):
        seen.append((features.shape[1], irreps))
        return features

    environments = Environments.of(build_graph(handed(), model.cutoff))
    model(replace(environments, expand=expand))
    assert seen == [(4 + 6 + 9 + 6, "4x0o+6x0e+3x1o+2x1e")] * 2


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"irreps": ("6x0e", "6x0e")}, "irreps before and after each of 3 layers"),
        ({"irreps": ("6x0e", "6x0e+6x0e", "6x0e", "6x0e")}, "each irrep once"),
        ({"irreps": ("6x0e", "3x1o+6x0e", "6x0e", "6x0e")}, "scalars first"),
        ({"irreps": ("6x0e", "2x0o+3x1o", "6x0e", "6x0e")}, "even ones among them"),
        ({"irreps": ("6x0e", "6x0e+1x9o", "6x0e", "6x0e")}, "up to l = 8"),
        ({"irreps": ("6x0e", "nonsense", "6x0e", "6x0e")}, "irreps such as"),
        ({"irreps": ("6x0e+1x1o", "6x0e", "6x0e", "6x0e")}, "before the first layer"),
        ({"parity": False}, "even irreps in a network without parity"),
        ({"sh_lmax": 9}, "sh_lmax from 0 to 8"),
        ({"gate_activation": "gelu"}, "gate_activation among"),
        ({"connections": ("none", "some", "none")}, "connections among"),
        ({"envelope": "xplor", "envelope_parameter": 4.5}, "onset below the cutoff"),
        ({"num_bessel": 10**10}, "num_bessel from 1 to 1000"),
        ({"cutoff": 0.0}, "cutoff must be positive"),
    ],
)
def test_settings_without_meaning_are_refused(change, match):
    with pytest.raises(InputError, match=match):
        replace(PARITY, **change)
