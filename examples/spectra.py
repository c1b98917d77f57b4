import numpy as np
from ase import Atoms
from matplotlib.figure import Figure

from ase_symcalc.analysis import (
    Bispectrum,
    GaussianBasis,
    PowerSpectrum,
    bispectrum,
    deduplicate,
    material_embedding,
    project,
)
from ase_symcalc.analysis.environments_plot import draw_signal
from ase_symcalc.structures import build_graph

# quartz, whose helices turn one way; its mirror image turns the other
u, (x, y, z) = 0.4697, (0.4135, 0.2669, 0.1191)
silicon = [(u, 0, 0), (0, u, 2 / 3), (-u, -u, 1 / 3)]
oxygen = [(x, y, z), (-y, x - y, z + 2 / 3), (y - x, -x, z + 1 / 3)]
oxygen += [(y, x, -z), (x - y, -y, 1 / 3 - z), (-x, y - x, 2 / 3 - z)]
cell = [4.916, 4.916, 5.405, 90, 90, 120]
quartz = Atoms("Si3O6", scaled_positions=silicon + oxygen, cell=cell, pbc=True)
mirrored = quartz.copy()
mirrored.set_cell(quartz.cell.array * [1, 1, -1], scale_atoms=True)

basis = GaussianBasis(cutoff=4.0, n_max=2, lmax=4)
parts = []
for atoms in (quartz, mirrored):
    density = project(build_graph(atoms, basis.cutoff), ("O", "Si"), basis)
    parts.append([part[0].numpy() for part in bispectrum(density)])
(even, odd), (mirrored_even, mirrored_odd) = parts
print(f"even parts differ by {abs(even - mirrored_even).max():.0e}")
print(f"odd parts are {'opposite' if np.allclose(odd, -mirrored_odd) else 'something else'}")

structures = [quartz, quartz * (1, 1, 2), mirrored]
for kind in (PowerSpectrum, Bispectrum):
    descriptor = kind(("O", "Si"), basis)
    print(kind.__name__, "calls the same:", deduplicate(structures, descriptor).tolist())
vectors = [material_embedding(atoms, descriptor) for atoms in structures[:2]]
print(f"embeddings of cell and supercell differ by {abs(vectors[0] - vectors[1]).max():.0e}")

figure = Figure(figsize=(10, 3.6), layout="constrained")
draw_signal(figure.add_subplot(1, 3, 1, projection="3d"), quartz, 0)
for k, (name, ours, theirs) in enumerate(
    (("even", even, mirrored_even), ("odd", odd, mirrored_odd)), start=2
):
    axes = figure.add_subplot(1, 3, k)
    axes.plot(ours, theirs, ".")
    axes.set(xlabel="quartz", ylabel="mirror image", title=f"{name} part of the bispectrum")
    axes.ticklabel_format(scilimits=(0, 0))
    axes.locator_params(nbins=4)
figure.savefig("spectra.png")
