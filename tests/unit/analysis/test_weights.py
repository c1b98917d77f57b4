"""Weights of graphs: sums that geometry demands, and gradients that differences confirm."""

import json
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, fcc111
from ase.constraints import FixAtoms
from ase.spacegroup import crystal

from ase_symcalc.analysis import (
    SpeciesEncoding,
    WeightedGraph,
    adjacency,
    laplacian,
    load_graph,
    save_graph,
    unbounded_atoms,
    voronoi_cells,
    weights_cutoff,
    weights_voronoi,
)
from ase_symcalc.analysis.weights import normalised
from ase_symcalc.errors import InputError, UnsupportedElementError
from ase_symcalc.structures import build_graph
from tests.tolerances import DERIVATIVE, TIGHT
from tests.zoo import zoo

PERIODIC = np.ones(3, dtype=bool)
DECAYS = ("inverse-square", "exponential", "polynomial")


def shaken():
    atoms = zoo()["nimo_rocksalt"]
    atoms.rattle(0.2, seed=8)
    return atoms


def cells_of(atoms, grad=False):
    positions = torch.tensor(atoms.positions, requires_grad=grad)
    cell = torch.tensor(atoms.cell.array, requires_grad=grad)
    return voronoi_cells(positions, cell, PERIODIC), (positions, cell)


def assert_exact(function, variables, step=1e-5):
    """Compare the gradient of a number with central differences."""
    gradients = torch.autograd.grad(function(*variables), variables)
    for k, gradient in enumerate(gradients):
        numerical = torch.zeros_like(gradient)
        for index in np.ndindex(*gradient.shape):
            ends = []
            for sign in (1, -1):
                moved = [v.detach().clone() for v in variables]
                moved[k][index] += sign * step
                ends.append(float(function(*moved)))
            numerical[index] = (ends[0] - ends[1]) / (2 * step)
        assert (gradient - numerical).abs().max() < DERIVATIVE * numerical.abs().max()


@pytest.mark.parametrize("decay", DECAYS)
def test_cutoff_weights_are_symmetric_and_their_matrix_is_bounded(decay):
    graph = build_graph(shaken(), 4.0)
    weights = weights_cutoff(graph, decay=decay)
    matrix = adjacency(weights, graph.edge_index, graph.n_atoms)
    assert (matrix - matrix.T).abs().max() < TIGHT
    assert torch.linalg.eigvalsh(matrix).max() == pytest.approx(1)


@pytest.mark.parametrize("gap", [1e-6, 1e-8, 1e-10])
def test_pair_just_within_the_cutoff_has_a_positive_weight(gap):
    graph = build_graph(Atoms("Cu2", [(0, 0, 0), (4 - gap, 0, 0)]), 4.0)
    assert graph.n_edges == 2
    # near the root it is 56 (1 - x)³
    expected = np.full(2, 56 * (gap / 4) ** 3)
    weights = weights_cutoff(graph, normalise=False).numpy()
    np.testing.assert_allclose(weights, expected, rtol=1e-4)
    assert weights_cutoff(graph).numpy() == pytest.approx(1)


def test_weights_of_zero_stay_zero_when_normalised():
    ends = torch.tensor([[0, 1], [1, 0]])
    assert normalised(torch.zeros(2).double(), ends, 2).tolist() == [0, 0]


def test_decays_are_what_they_are_called():
    graph = build_graph(Atoms("Cu2", [(0, 0, 0), (2, 0, 0)]), 4.0)
    values = [weights_cutoff(graph, decay=d, length=1.0, normalise=False)[0] for d in DECAYS]
    assert [float(v) for v in values] == pytest.approx([1 / 4, np.exp(-2), 0.85546875])


@pytest.mark.parametrize("decay", DECAYS)
def test_gradients_of_cutoff_weights_are_exact(decay):
    graph = build_graph(shaken(), 3.3)
    values = torch.randn(graph.n_edges, generator=torch.Generator().manual_seed(1)).double()

    def function(positions, cell):
        moved = replace(graph, positions=positions, cell=cell)
        return weights_cutoff(moved, decay=decay) @ values

    variables = [graph.positions.clone().requires_grad_(), graph.cell.clone().requires_grad_()]
    assert_exact(function, variables)


@pytest.mark.parametrize(
    "atoms",
    [bulk("Cu"), bulk("Fe"), bulk("Si"), bulk("Ti") * (2, 1, 1), bulk("Po", "sc", a=3.3), shaken()],
    ids=["fcc", "bcc", "diamond", "hcp", "simple cubic", "shaken"],
)
def test_cells_fill_the_crystal_and_angles_the_sphere(atoms):
    cells, _ = cells_of(atoms)
    assert float(cells.volumes.sum()) == pytest.approx(atoms.get_volume())
    angles = torch.zeros(len(atoms)).double()
    angles.index_add_(0, cells.edge_index[0], cells.solid_angles)
    assert angles.numpy() == pytest.approx(4 * np.pi)
    assert (cells.areas - cells.areas[cells.reverse]).abs().max() < 1e-9
    assert torch.equal(cells.edge_index.flip(0), cells.edge_index[:, cells.reverse])
    assert torch.equal(-cells.unit_shifts, cells.unit_shifts[cells.reverse])


def test_faces_of_perfect_crystals_are_those_of_textbooks():
    fcc, _ = cells_of(bulk("Cu"))  # the rhombic dodecahedron: twelve rhombi of a²/(4 √2)
    assert fcc.areas.numpy() == pytest.approx(np.full(12, 3.61**2 / 32**0.5))
    bcc, _ = cells_of(bulk("Fe"))  # the truncated octahedron: six squares of a²/8
    assert sorted(fcc.solid_angles.numpy()) == pytest.approx(np.full(12, np.pi / 3))
    assert sorted(bcc.areas.numpy())[:6] == pytest.approx(np.full(6, 2.87**2 / 8))
    assert len(bcc.areas) == 14


@pytest.mark.parametrize("kind", ["solid angle", "area"])
def test_gradients_of_voronoi_weights_are_exact(kind):
    atoms = shaken()
    n = len(weights_voronoi(cells_of(atoms)[0]))
    values = torch.randn(n, generator=torch.Generator().manual_seed(2)).double()

    def function(positions, cell):
        cells = voronoi_cells(positions, cell, PERIODIC)
        assert len(cells.areas) == n
        return weights_voronoi(cells, kind=kind) @ values + cells.volumes.square().sum()

    assert_exact(function, cells_of(atoms, grad=True)[1])


@pytest.mark.parametrize("name", ["Cu", "Fe", "Si", "Ti"])
@pytest.mark.parametrize("noise", [0, 1e-12, 1e-8])
def test_degenerate_vertices_leave_gradients_finite_and_symmetric(name, noise):
    atoms = bulk(name) * (2, 1, 1)
    atoms.positions += np.random.default_rng(1).normal(0, 1, atoms.positions.shape) * noise
    cells, variables = cells_of(atoms, grad=True)
    value = cells.areas.square().sum() + cells.solid_angles.square().sum()
    forces, stress = torch.autograd.grad(value, variables)
    assert bool(stress.isfinite().all())
    assert forces.abs().max() < 1e-5  # zero by symmetry


def along_random_lines(atoms, value, step=1e-4):
    """Exact and numerical derivatives of a number along random changes of positions and cell."""
    tensors = torch.tensor(atoms.positions), torch.tensor(atoms.cell.array)
    variables = [t.clone().requires_grad_() for t in tensors]
    gradients = torch.autograd.grad(value(voronoi_cells(*variables, PERIODIC)), variables)
    rng = np.random.default_rng(4)
    exact, numerical = [], []
    for _ in range(3):
        moves = [torch.tensor(rng.normal(size=tuple(t.shape))) for t in tensors]
        moves[1] /= 10
        exact.append(sum(float((g * m).sum()) for g, m in zip(gradients, moves, strict=True)))
        ends = []
        for sign in (1, -1):
            moved = [t + sign * step * m for t, m in zip(tensors, moves, strict=True)]
            ends.append(float(value(voronoi_cells(*moved, PERIODIC))))
        numerical.append((ends[0] - ends[1]) / (2 * step))
    return np.array(exact), np.array(numerical)


def faces_of(cells, values):
    """Values of faces by the atoms and cells between which they are."""
    keys = zip(*cells.edge_index.tolist(), *cells.unit_shifts.T.tolist(), strict=True)
    return dict(zip(keys, values, strict=True))


FLUORITE = crystal(
    ["Ca", "F"],
    [(0, 0, 0), (0.25, 0.25, 0.25)],
    spacegroup=225,
    cellpar=[5.46] * 3 + [90] * 3,
    primitive_cell=True,
)
HCP = bulk("Mg", covera=(8 / 3) ** 0.5)
RANDOM = Atoms("H7", np.random.default_rng(9).uniform(0, 5, (7, 3)), cell=[5, 5, 5], pbc=True)
THREE_AT_SIDES = {"fcc": bulk("Cu") * (2, 1, 1), "diamond": bulk("Si") * (2, 1, 1)}
THREE_AT_SIDES |= {"hcp": HCP * (2, 1, 1), "random": RANDOM}
FOUR_AT_SIDES = {"simple cubic": bulk("Po", "sc", a=3.3) * (2, 1, 1), "fluorite": FLUORITE}
MEASURES = {
    "areas": lambda cells: cells.areas,
    "solid angles": lambda cells: cells.solid_angles,
    "weights": lambda cells: weights_voronoi(cells, normalise=False),
    "normalised weights": weights_voronoi,
    "normalised weights by area": lambda cells: weights_voronoi(cells, kind="area"),
}


@pytest.mark.parametrize(
    ("name", "measure"),
    [*product(THREE_AT_SIDES, MEASURES), *product(FOUR_AT_SIDES, ("areas", "solid angles"))],
)
def test_derivatives_of_single_faces_are_the_central_ones(name, measure):
    atoms = (THREE_AT_SIDES | FOUR_AT_SIDES)[name]
    values = MEASURES[measure]
    first = cells_of(atoms)[0]
    noise = torch.randn(len(first.areas), generator=torch.Generator().manual_seed(5)).tolist()
    counted = faces_of(first, noise)

    def value(cells):
        found = faces_of(cells, values(cells))
        return sum(factor * found[face] for face, factor in counted.items())

    exact, numerical = along_random_lines(atoms, value)
    np.testing.assert_allclose(exact, numerical, atol=1e-3 * abs(numerical).max())


@pytest.mark.parametrize("name", [*THREE_AT_SIDES, *FOUR_AT_SIDES])
def test_derivatives_of_volumes_are_exact_whatever_meets(name):
    atoms = (THREE_AT_SIDES | FOUR_AT_SIDES)[name]
    factors = torch.randn(len(atoms), generator=torch.Generator().manual_seed(6)).double()
    exact, numerical = along_random_lines(atoms, lambda cells: cells.volumes @ factors, 1e-3)
    np.testing.assert_allclose(exact, numerical, atol=1e-3 * abs(numerical).max())


def test_second_derivatives_of_volumes_are_exact():
    positions, cell = cells_of(shaken(), grad=True)[1]
    move = torch.randn(positions.shape, generator=torch.Generator().manual_seed(7)).double()

    def gradient(places):
        volumes = voronoi_cells(places, cell, PERIODIC).volumes
        return torch.autograd.grad(volumes.square().sum(), places, create_graph=True)[0]

    (exact,) = torch.autograd.grad((gradient(positions) * move).sum(), positions)
    ends = [gradient(positions + sign * 1e-5 * move).detach() for sign in (1, -1)]
    numerical = (ends[0] - ends[1]) / 2e-5
    assert (exact - numerical).abs().max() < DERIVATIVE * numerical.abs().max()


@pytest.mark.parametrize("noise", [1e-12, 1e-10, 1e-7, 1e-5, 1e-3])
@pytest.mark.parametrize("name", ["simple cubic", "fluorite", "diamond"])
def test_no_face_is_lost_near_perfect_crystals(name, noise):
    atoms = (THREE_AT_SIDES | FOUR_AT_SIDES)[name].copy()
    atoms.rotate(37, (1, 2, 3), rotate_cell=True)
    atoms.positions += np.random.default_rng(3).normal(0, noise, atoms.positions.shape)
    cells, (_, cell) = cells_of(atoms, grad=True)
    volume = atoms.get_volume()
    assert float(cells.volumes.detach().sum()) == pytest.approx(volume, rel=1e-5)
    (slope,) = torch.autograd.grad(cells.volumes.sum(), cell)
    expected = volume * np.linalg.inv(atoms.cell.array).T
    np.testing.assert_allclose(slope.numpy(), expected, atol=1e-4 * abs(expected).max())


def test_atoms_on_top_of_each_other_have_no_cells():
    atoms = Atoms("Cu3", [(0, 0, 0), (2, 2, 2), (4, 0, 1e-3)], cell=[4, 4, 4], pbc=True)
    with pytest.raises(InputError, match="atoms 0 and 2 are closer than"):
        cells_of(atoms)


def test_voronoi_weights_of_a_supercell_are_those_of_the_crystal():
    atoms = shaken()
    one, _ = cells_of(atoms)
    two, _ = cells_of(atoms * (1, 1, 2))
    weights = [weights_voronoi(cells).sort().values.numpy() for cells in (one, two)]
    assert np.repeat(weights[0], 2) == pytest.approx(weights[1])


def test_open_surfaces_are_named():
    slab = fcc111("Cu", (1, 1, 4), vacuum=5)
    tensors = torch.tensor(slab.positions), torch.tensor(slab.cell.array)
    with pytest.raises(InputError, match="cells of atoms 0, 3 are unbounded") as caught:
        voronoi_cells(*tensors, slab.pbc)
    assert "set pbc True" in str(caught.value)
    assert len(voronoi_cells(*tensors, PERIODIC).volumes) == 4
    cluster = zoo()["si_cluster"]
    hull = unbounded_atoms(cluster.positions, cluster.cell.array, cluster.pbc)
    assert 4 <= len(hull) < 8
    inside = Atoms("Cu5", [(1, 0, 0), (-1, 1, 0), (-1, -1, 1), (-1, -1, -1), (-0.5, -0.2, 0)])
    assert unbounded_atoms(inside.positions, inside.cell.array, inside.pbc).tolist() == [0, 1, 2, 3]
    flat = Atoms("Cu3", [(0, 0, 0), (2, 0, 0), (0, 2, 0)])
    assert len(unbounded_atoms(flat.positions, flat.cell.array, flat.pbc)) == 3
    wire = zoo()["cu_wire"]
    assert len(unbounded_atoms(wire.positions, wire.cell.array, wire.pbc)) == 3


def test_laplacian_counts_the_parts_of_a_graph():
    atoms = Atoms("Cu5", [(0, 0, 0), (2.5, 0, 0), (40, 0, 0), (42, 0, 0), (90, 0, 0)])
    graph = build_graph(atoms, 4.0)
    weights = weights_cutoff(graph, normalise=False)
    for normalise, zeros in ((False, 3), (True, 3)):
        matrix = laplacian(weights, graph.edge_index, 5, normalise=normalise)
        values = torch.linalg.eigvalsh(matrix)
        assert (values.abs() < TIGHT).sum() == zeros
        assert values.min() > -TIGHT
    assert matrix.sum(dim=1).abs().max() < TIGHT


def test_graph_comes_back_with_its_structure(tmp_path):
    atoms = shaken()
    atoms.info["source"] = "a melt"
    atoms.set_array("charge", np.linspace(0, 1, len(atoms)))
    atoms.set_constraint(FixAtoms([1, 2]))
    graph = build_graph(atoms, 3.5)
    saved = WeightedGraph(
        atoms,
        graph.edge_index.numpy(),
        graph.unit_shifts.long().numpy(),
        weights_cutoff(graph).numpy(),
    )
    save_graph(tmp_path / "melt.npz", saved)
    loaded = load_graph(tmp_path / "melt.npz")
    assert loaded.atoms == atoms
    assert loaded.atoms.info["source"] == "a melt"
    np.testing.assert_array_equal(loaded.atoms.arrays["charge"], atoms.arrays["charge"])
    assert loaded.atoms.constraints[0].index.tolist() == [1, 2]
    for name in ("edge_index", "unit_shifts", "weights"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(saved, name))


def test_file_that_is_no_graph_is_refused(tmp_path):
    (tmp_path / "text.npz").write_text("no graph")
    np.savez(tmp_path / "other.npz", weights=np.ones(3))
    np.savez(tmp_path / "objects.npz", header=np.array([{}], dtype=object))
    deep = json.dumps({"format": "ase_symcalc graph 1", "atoms": "[" * 200_000})
    np.savez(tmp_path / "deep.npz", header=np.array(deep))
    for name in ("text", "other", "objects", "deep"):
        with pytest.raises(InputError, match="not a graph that save_graph wrote"):
            load_graph(tmp_path / f"{name}.npz")


def test_species_are_encoded_and_decoded():
    encoding = SpeciesEncoding(("Ni", "Mo", "O"))
    numbers = torch.tensor([42, 28, 8, 42])
    rows = encoding.encode(numbers)
    assert rows.tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1], [0, 1, 0]]
    assert torch.equal(encoding.decode(rows + 0.3 * torch.rand(4, 3).double()), numbers)
    assert encoding.symbols(rows) == ["Mo", "Ni", "O", "Mo"]
    with pytest.raises(UnsupportedElementError, match="Cu cannot be encoded"):
        encoding.encode(torch.tensor([29, 28]))
    with pytest.raises(InputError, match="a column for each of 3"):
        encoding.decode(torch.ones(2, 2).double())
    for elements in ((), ("Ni", "Ni"), ("Xy",)):
        with pytest.raises(InputError, match="different chemical symbols"):
            SpeciesEncoding(elements)


def test_words_without_meaning_are_refused():
    graph = build_graph(shaken(), 3.0)
    with pytest.raises(InputError, match="inverse-square, exponential, polynomial"):
        weights_cutoff(graph, decay="linear")
    with pytest.raises(InputError, match="a length above 0"):
        weights_cutoff(graph, decay="exponential", length=0.0)
    with pytest.raises(InputError, match="'solid angle' or 'area'"):
        weights_voronoi(cells_of(bulk("Cu"))[0], kind="volume")
