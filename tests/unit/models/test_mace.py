"""MACE: what it promises whatever its weights, and what its formulas say."""

import math
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
from ase_symcalc.models.mace_config import MACEConfig
from ase_symcalc.models.mace_radial import PairRepulsion, agnesi, soft
from ase_symcalc.response import hessian, predict
from ase_symcalc.structures import build_graph
from tests.zoo import zoo

PLAIN = MACEConfig(
    elements=("Si", "Cu"),
    cutoff=4.0,
    hidden_irreps="4x0e+4x1o",
    sh_lmax=2,
    num_bessel=4,
    radial_widths=(8,),
    readouts=(0, 4),
    avg_num_neighbours=8.0,
)
EVERYTHING = replace(
    PLAIN,
    residual=(True, True),
    density=(True, True),
    distance_transform="agnesi",
    repulsion=True,
    covalent_radii=(1.11, 1.32),
)
VARIANTS = {
    "plain": PLAIN,
    "everything": EVERYTHING,
    "soft": replace(EVERYTHING, distance_transform="soft", density=(True, False)),
    "three layers": replace(
        PLAIN,
        hidden_irreps="3x0e+3x1o+3x2e",
        correlation=(2, 1, 3),
        residual=(True, False, True),
        density=(False, True, False),
        readouts=(0, 0, 4),
    ),
    "one layer": replace(
        PLAIN, correlation=(3,), residual=(False,), density=(False,), readouts=(0,)
    ),
}


@pytest.fixture(params=VARIANTS.values(), ids=VARIANTS.keys())
def model(request):
    return build_model(request.param, seed=1).double()


@pytest.fixture
def compound() -> Atoms:
    """Two elements, sheared, no symmetry left."""
    atoms = bulk("SiCu", "cesiumchloride", a=3.0) * (2, 1, 1)
    atoms.positions += np.random.default_rng(1).normal(0, 0.1, atoms.positions.shape)
    atoms.set_cell(atoms.cell.array @ [[1, 0.2, 0], [0, 1, -0.3], [0.1, 0, 1]], scale_atoms=True)
    return atoms


def test_a_configuration_survives_json():
    for config in VARIANTS.values():
        assert config_from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"correlation": (3,)}, "one entry for each layer .* got 1, 2, 2, 2"),
        ({"correlation": (4, 1)}, "correlation orders from 1 to 3"),
        ({"sh_lmax": 9}, "sh_lmax from 0 to 4; got 9"),
        ({"num_bessel": 0}, "num_bessel, .* of at least 1"),
        ({"avg_num_neighbours": 0.0}, "must be positive; got 0.0"),
        ({"distance_transform": "linear"}, "none, agnesi, soft; got 'linear'"),
        ({"repulsion": True}, "expected 2 covalent radii for 2 elements; got 0"),
        ({"covalent_radii": (1.0, 1.0)}, "expected 0 covalent radii"),
        ({"hidden_irreps": "4x0x"}, "irreps such as 128x0e"),
        ({"hidden_irreps": "4x0e+2x1o"}, "as many channels of each irrep"),
        ({"hidden_irreps": "4x0e+4x1e"}, "as many channels of each irrep"),
        ({"hidden_irreps": "4x1o"}, "0e first"),
        ({"cutoff": 0.0}, "cutoff must be positive"),
    ],
)
def test_a_configuration_without_meaning_is_refused(change, words):
    with pytest.raises(InputError, match=words):
        MACEConfig.from_dict(PLAIN.to_dict() | change)


@pytest.mark.parametrize("improper", [1, -1], ids=["rotation", "mirror image"])
def test_energies_do_not_depend_on_the_orientation(model, compound, improper):
    environments = Environments.of(build_graph(compound, model.cutoff))
    matrix = improper * rand_matrix(dtype=torch.float64)
    turned = replace(environments, edge_vectors=environments.edge_vectors @ matrix.T)
    torch.testing.assert_close(model(turned), model(environments), rtol=1e-11, atol=1e-11)


def test_forces_and_stress_are_derivatives_of_the_energy(model, compound):
    def energy(atoms):
        return predict(model, build_graph(atoms, model.cutoff), derivatives=False).energy.item()

    prediction = predict(model, build_graph(compound, model.cutoff))
    step = 1e-4
    for atom, axis in ((0, 2), (3, 1)):
        sides = []
        for sign in (1, -1):
            moved = compound.copy()
            moved.positions[atom, axis] += sign * step
            sides.append(energy(moved))
        slope = (sides[0] - sides[1]) / (2 * step)
        assert prediction.forces[atom, axis].item() == pytest.approx(-slope, rel=1e-5, abs=1e-7)
    sides = []
    for sign in (1, -1):
        strained = compound.copy()
        strain = np.eye(3)
        strain[0, 1] = strain[1, 0] = sign * step / 2
        strained.set_cell(compound.cell.array @ strain, scale_atoms=True)
        sides.append(energy(strained))
    slope = (sides[0] - sides[1]) / (2 * step) / compound.get_volume()
    assert prediction.stress[0, 0, 1].item() == pytest.approx(slope, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("trained", [True, False])
def test_second_derivatives_are_symmetric(compound, trained):
    model = build_model(EVERYTHING, seed=1).double().requires_grad_(trained)
    second = hessian(model, build_graph(compound, model.cutoff)).reshape(12, 12)
    assert second.abs().max() > 1e-3
    torch.testing.assert_close(second, second.T, rtol=1e-9, atol=1e-11)


def test_atoms_appear_smoothly_at_the_cutoff(model):
    below, above = (
        predict(model, build_graph(Atoms("SiCu", [(0, 0, 0), (r, 0, 0)]), model.cutoff))
        for r in (model.cutoff - 1e-5, model.cutoff + 1e-5)
    )
    torch.testing.assert_close(below.energy, above.energy, rtol=0, atol=1e-12)
    assert below.forces.abs().max() < 1e-8


def test_structures_in_a_batch_do_not_see_each_other(model, compound):
    both = predict(model, build_graph([compound, zoo()["cu_wire"]], model.cutoff))
    for number, atoms in enumerate((compound, zoo()["cu_wire"])):
        alone = predict(model, build_graph(atoms, model.cutoff))
        torch.testing.assert_close(both.energy[number], alone.energy[0], rtol=1e-12, atol=1e-12)


def test_extra_rows_that_no_edge_touches_change_nothing(model, compound):
    plain = Environments.of(build_graph(compound, model.cutoff))
    padded = replace(
        plain,
        atomic_numbers=torch.cat([plain.atomic_numbers, torch.tensor([29])]),
        expand=lambda features, irreps: torch.cat([features, torch.ones_like(features[:1])]),
    )
    torch.testing.assert_close(model(plain), model(padded), rtol=0, atol=0)


@pytest.mark.parametrize("name", ["plain", "everything", "soft"])
def test_splines_follow_the_functions_and_forces_the_splines(name, compound):
    model = build_model(replace(VARIANTS[name], num_intervals=1024), seed=1)
    model = model.double().requires_grad_(False)
    graph = build_graph(compound, model.cutoff)
    exact = predict(model, graph)
    model.radial.exact = ()
    splined = predict(model, graph)
    assert 0 < (splined.forces - exact.forces).abs().max() < 1e-5
    torch.testing.assert_close(splined.energy, exact.energy, rtol=0, atol=1e-6)
    moved = [compound.copy(), compound.copy()]
    for atoms, sign in zip(moved, (1, -1), strict=True):
        atoms.positions[1, 0] += sign * 1e-4
    sides = [predict(model, build_graph(atoms, model.cutoff)).energy.item() for atoms in moved]
    slope = (sides[0] - sides[1]) / 2e-4
    assert splined.forces[1, 0].item() == pytest.approx(-slope, rel=1e-5, abs=1e-7)


def test_splines_follow_changed_weights(compound):
    model = build_model(EVERYTHING, seed=1).double().requires_grad_(False)
    model.radial.exact = ()
    graph = build_graph(compound, model.cutoff)
    first = predict(model, graph).energy
    model.radial.functions.wave_numbers *= 1.1
    assert predict(model, graph).energy != first


def test_small_structures_with_many_pairs_need_no_splines(compound):
    model = build_model(EVERYTHING, seed=1).float().requires_grad_(False)
    graph = build_graph(compound, model.cutoff, dtype=torch.float32)
    exact = replace(EVERYTHING, num_intervals=0)
    other = build_model(exact, seed=1).float().requires_grad_(False)
    assert torch.equal(predict(model, graph).energy, predict(other, graph).energy)


def test_features_after_the_last_layer_are_scalars(model, compound):
    environments = Environments.of(build_graph(compound, model.cutoff))
    features = model.node_features(environments)
    assert model.irreps == f"{features.shape[1]}x0e"


def test_agnesi_transform_is_its_formula():
    r, scale = torch.tensor([0.0, 1.0, 2.5]), torch.full((3,), 1.2)
    out = agnesi(r, scale, torch.tensor([1.0805, 0.9183, 4.5791]))
    x = 2.5 / 1.2
    expected = 1 / (1 + 1.0805 * x**0.9183 / (1 + x ** (0.9183 - 4.5791)))
    assert out.tolist() == pytest.approx([1.0, out[1].item(), expected], rel=1e-6)


def test_soft_transform_leaves_long_lengths_alone_and_holds_short_ones():
    r, scale = torch.tensor([0.1, 2.5 * 25 / 24, 9.0]), torch.full((3,), 2.5)
    out = soft(r, scale, torch.tensor([4.0])).tolist()
    near = 0.75 * 2.5
    assert out == pytest.approx([near, (near + r[1].item()) / 2, 9.0], rel=0.02)


def test_repulsion_is_that_of_ziegler_biersack_and_littmark():
    repulsion = PairRepulsion((2, 28), (50.0, 50.0), 6).double()
    ends = torch.tensor([0, 1])
    r = torch.tensor([0.5, 0.5], dtype=torch.float64)
    energy = repulsion(r, ends, ends.flip(0)).sum().item()
    x = 0.5 * (2**0.3 + 28**0.3) / (0.4543 * 0.529)
    terms = ((0.1818, 3.2), (0.5099, 0.9423), (0.2802, 0.4028), (0.02817, 0.2016))
    phi = sum(c * math.e ** (-d * x) for c, d in terms)
    assert energy == pytest.approx(14.3996 * 56 / 0.5 * phi, rel=1e-9)
