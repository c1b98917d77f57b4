from ase.build import fcc111

from ase_symcalc.analysis import GaussianBasis, PowerSpectrum, find_environments
from ase_symcalc.analysis.environments_plot import plot_environments

slab = fcc111("Cu", (4, 4, 8), vacuum=8)
found = find_environments([slab], PowerSpectrum(("Cu",), GaussianBasis(cutoff=5.0)))
for name, part in found.fractions().items():
    print(f"{name}: {100 * part[-1]:.0f} %")
plot_environments(found, "environments.png", atom=0, title="a copper slab")
