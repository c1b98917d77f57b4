import numpy as np
import torch
from ase.build import bulk
from matplotlib.figure import Figure

from ase_symcalc.analysis import (
    Bispectrum,
    WeightedGraph,
    laplacian,
    material_embedding,
    save_graph,
    structure_distance,
    voronoi_cells,
    weights_voronoi,
)

vacancy = bulk("Cu", cubic=True) * (3, 3, 3)
del vacancy[0]
positions = torch.tensor(vacancy.positions, requires_grad=True)
cells = voronoi_cells(positions, torch.tensor(vacancy.cell.array), vacancy.pbc)
weights = weights_voronoi(cells)
pull = torch.autograd.grad(cells.volumes.square().sum(), positions)[0].norm(dim=1)
print(f"{int((pull > 1e-6).sum())} atoms would move to make the cells equal")

graph = [t.detach().numpy() for t in (cells.edge_index, cells.unit_shifts, weights)]
save_graph("vacancy.npz", WeightedGraph(vacancy, *graph))
triples = Bispectrum(("Cu",))
print(f"{structure_distance(vacancy, bulk('Cu'), triples):.3f} from the perfect crystal")
print(f"{len(material_embedding(vacancy, triples))} numbers for the crystal")

figure = Figure(figsize=(8, 3.5), layout="constrained")
left, right = figure.subplots(1, 2)
left.hist(cells.volumes.detach().numpy(), bins=20)
left.set(xlabel="volume of the Voronoi cell (Å³)", ylabel="atoms")
spectrum = np.linalg.eigvalsh(laplacian(weights, cells.edge_index, len(vacancy)).detach().numpy())
right.plot(spectrum, ".")
right.set(xlabel="eigenvalue of the graph's Laplacian", ylabel="size")
figure.savefig("graphs.png")
