"""Makes the models in this folder, and what mace-torch gives for them.

Run by the Python of an environment with mace-torch 0.3.16, which none of the tests needs:

    python -W ignore tests/regression/mace/recipe.py tests/regression/mace

With "large" after the folder it makes models of the size of universal ones for 89 elements.

Weights are drawn at random by mace-torch itself. Those of one-hot maps are made larger by the
root of the number of elements, and those of polynomials by the root of their number, as
training would, so that energies and forces are of the size of real ones. TorchScript programs,
which mace-torch puts into its files beside the weights, are left out.
"""

import json
import os
import sys
from pathlib import Path

os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"  # for a file of e3nn 0.4.4 itself

import ase
import e3nn
import numpy as np
import torch
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from e3nn import o3
from e3nn.util.codegen import CodeGenMixin
from mace import __version__, modules
from mace.calculators import MACECalculator

NUMBERS = (1, 8, 14, 29, 55)
COMMON = {
    "cls": "ScaleShiftMACE",
    "r_max": 4.0,
    "num_bessel": 5,
    "num_polynomial_cutoff": 5,
    "max_ell": 1,
    "interaction_cls_first": "RealAgnosticInteractionBlock",
    "interaction_cls": "RealAgnosticResidualInteractionBlock",
    "num_interactions": 2,
    "hidden_irreps": "4x0e+4x1o",
    "MLP_irreps": "6x0e",
    "avg_num_neighbors": 2.5,
    "correlation": 3,
    "radial_MLP": [12, 12],
    "atomic_inter_scale": 3.0,
    "atomic_inter_shift": 0.2,
    "dtype": "float64",
    "messages": 1.0,  # what to multiply them by
}
MODELS = {
    "agnostic": {},
    "density": {
        "messages": 0.2,
        "interaction_cls_first": "RealAgnosticDensityInteractionBlock",
        "interaction_cls": "RealAgnosticDensityResidualInteractionBlock",
        "max_ell": 2,
        "hidden_irreps": "4x0e+4x1o+4x2e",
        "correlation": 2,
        "distance_transform": "Agnesi",
        "pair_repulsion": True,
        "heads": ["default", "other"],
        "atomic_inter_scale": [3.0, 2.0],
        "atomic_inter_shift": [0.2, -0.1],
    },
    "soft": {
        "cls": "MACE",
        "interaction_cls_first": "RealAgnosticResidualInteractionBlock",
        "num_interactions": 3,
        "max_ell": 2,
        "hidden_irreps": "4x0e",
        "correlation": [3, 2, 1],
        "distance_transform": "Soft",
        "num_polynomial_cutoff": 6,
        "dtype": "float32",
    },
    "one_layer": {
        "messages": 0.3,
        "cls": "MACE",
        "interaction_cls_first": "RealAgnosticDensityInteractionBlock",
        "num_interactions": 1,
        "max_ell": 3,
        "correlation": 2,
        "pair_repulsion": True,
        "r_max": 3.7,
        "num_polynomial_cutoff": 4,
    },
}
LARGE = {
    name: {
        "r_max": 6.0,
        "num_bessel": 10,
        "max_ell": 3,
        "MLP_irreps": "16x0e",
        "avg_num_neighbors": 12.0,
        "radial_MLP": [64, 64, 64],
        **settings,
    }
    for name, settings in {
        "small": {"hidden_irreps": "128x0e"},
        "medium": {"hidden_irreps": "128x0e+128x1o"},
        "density": {
            "hidden_irreps": "128x0e+128x1o",
            "interaction_cls_first": "RealAgnosticDensityInteractionBlock",
            "interaction_cls": "RealAgnosticDensityResidualInteractionBlock",
            "distance_transform": "Agnesi",
            "pair_repulsion": True,
            "messages": 0.01,
        },
    }.items()
}


def build(settings, numbers=NUMBERS, seed=0):
    """Make a model as mace-torch does, with livelier weights."""
    settings = {**COMMON, **settings}
    torch.set_default_dtype(getattr(torch, settings.pop("dtype")))
    torch.manual_seed(seed)
    messages = settings.pop("messages")
    kind = settings.pop("cls")
    if kind == "MACE":
        for name in ("atomic_inter_scale", "atomic_inter_shift"):
            settings.pop(name)
    for name in ("interaction_cls", "interaction_cls_first"):
        settings[name] = modules.interaction_classes[settings[name]]
    for name in ("hidden_irreps", "MLP_irreps"):
        settings[name] = o3.Irreps(settings[name])
    n_heads = len(settings.get("heads", [None]))
    energies = np.random.default_rng(seed).uniform(-9, -1, (n_heads, len(numbers)))
    model = getattr(modules, kind)(
        num_elements=len(numbers),
        atomic_numbers=list(numbers),
        atomic_energies=energies if n_heads > 1 else energies[0],
        gate=torch.nn.functional.silu,
        use_reduced_cg=False,
        **settings,
    )
    with torch.no_grad():
        model.node_embedding.linear.weight *= len(numbers) ** 0.5
        for interaction in model.interactions:
            interaction.skip_tp.weight *= len(numbers) ** 0.5
            interaction.linear.weight *= messages
        for product in model.products:
            for contraction in product.symmetric_contractions.contractions:
                for weights in (contraction.weights_max, *contraction.weights):
                    weights *= weights.shape[1] ** 0.5
    return model


def structures():
    """Metal, oxide, salt, molecule, slab, lone atom, handed crystals, sheared compound."""
    oxide = Atoms(
        "Si2O4",
        scaled_positions=[
            (0, 0, 0),
            (0.5, 0.5, 0.5),
            (0.3, 0.3, 0),
            (0.7, 0.7, 0),
            (0.2, 0.8, 0.5),
            (0.8, 0.2, 0.5),
        ],
        cell=[4.2, 4.2, 2.7],
        pbc=True,
    )
    a, c, u = 3.6, 4.6, 0.25
    places = [(u, 0, 0), (0, u, 1 / 3), (-u, -u, 2 / 3)]
    cell = [(a, 0, 0), (-a / 2, a * 3**0.5 / 2, 0), (0, 0, c)]
    handed = Atoms("CuSiO", scaled_positions=places, cell=cell, pbc=True)
    mirrored = handed.copy()
    mirrored.set_cell(handed.cell.array * [-1, 1, 1])
    mirrored.positions = handed.positions * [-1, 1, 1]
    sheared = rattled(bulk("CsCu", "cesiumchloride", a=3.6))
    shear = np.array([[1.02, 0.25, 0.0], [0.05, 0.97, -0.3], [0.0, 0.15, 1.04]])
    sheared.set_cell(sheared.cell.array @ shear, scale_atoms=True)
    slab = fcc111("Cu", (1, 1, 3), a=3.6, vacuum=6.0)
    slab.append("O")
    slab.positions[-1] = slab.positions[-2] + (0.5, 0.7, 1.3)
    return {
        "metal": bulk("Cu", a=3.6),
        "oxide": rattled(oxide),
        "salt": rattled(bulk("CsH", "rocksalt", a=6.0)),
        "molecule": rattled(molecule("H2O"), 0.03),
        "slab": slab,
        "lone atom": Atoms("Cs", [(0.1, 0.2, 0.3)]),
        "close pair": Atoms("SiO", [(0, 0, 0), (0.3, 1.0, 0.4)]),
        "handed": handed,
        "mirrored": mirrored,
        "sheared": sheared,
    }


def more_structures():
    """Elements from across the table, and more of what they form."""
    rng = np.random.default_rng(5)
    mixed = bulk("Cu", cubic=True, a=4.3) * (2, 1, 1)
    mixed.set_chemical_symbols(["H", "Be", "F", "Si", "Mn", "Mo", "Gd", "Ac"])
    ice = Atoms(cell=[6.2, 6.2, 3.1], pbc=True)
    for corner in ((0, 0, 0), (3.1, 0, 0), (0, 3.1, 0), (3.1, 3.1, 0)):
        water = molecule("H2O")
        water.rotate(rng.uniform(0, 360), rng.normal(size=3))
        water.translate(corner)
        ice += water
    slab = fcc111("Pt", (2, 2, 3), vacuum=7.0)
    slab.append("O")
    slab.positions[-1] = slab.positions[-2] + (0.8, 0.9, 1.2)
    return {
        "iron": rattled(bulk("Fe", cubic=True)),
        "tungsten": rattled(bulk("W", cubic=True) * (2, 1, 1)),
        "magnesia": rattled(bulk("MgO", "rocksalt", a=4.2, cubic=True)),
        "rock salt": rattled(bulk("NaCl", "rocksalt", a=5.6)),
        "gallium arsenide": rattled(bulk("GaAs", "zincblende", a=5.65, cubic=True)),
        "radium and lead": rattled(bulk("RaPb", "cesiumchloride", a=3.9)),
        "ethanol": rattled(molecule("CH3CH2OH"), 0.03),
        "xenon": Atoms("Xe", [(0.1, 0.2, 0.3)]),
        "mixed": rattled(mixed),
        "ice": ice,
        "platinum": rattled(slab, 0.05),
    }


def rattled(atoms, stdev=0.08):
    """Move every atom."""
    atoms.positions += np.random.default_rng(7).normal(0, stdev, atoms.positions.shape)
    return atoms


def results(model, zoo, head=None):
    """Give energies, forces and stress of mace-torch's own calculator, in float64."""
    chosen = {} if head is None else {"head": head}
    calc = MACECalculator(models=[model], device="cpu", default_dtype="float64", **chosen)
    out = {}
    for name, atoms in zoo.items():
        atoms = atoms.copy()
        atoms.calc = calc
        full = bool(atoms.pbc.all())  # elsewhere mace-torch divides by the volume of a larger box
        out[name] = {
            "energy": float(atoms.get_potential_energy()),
            "forces": atoms.get_forces().astype(float).tolist(),
            "stress": atoms.get_stress(voigt=False).astype(float).tolist() if full else None,
        }
    n = sum(mul * (2 * l + 1) for mul, (l, _) in model.products[0].linear.irreps_out)
    every = calc.get_descriptors(zoo["handed"], invariants_only=False)
    out["handed"]["features"] = every[:, :n].tolist()  # after the first layer, as e3nn lays out
    return out


def as_numbers(atoms):
    """Write a structure as plain lists."""
    return {
        "numbers": atoms.numbers.tolist(),
        "positions": atoms.positions.tolist(),
        "cell": atoms.cell.array.tolist(),
        "pbc": atoms.pbc.tolist(),
    }


def without_programs(module):
    """Pickle what e3nn's modules are made of, and not the TorchScript made from it."""
    state = _whole(module)
    if "__codegen__" in state:
        state["__codegen__"] = dict.fromkeys(state["__codegen__"], b"left out")
    return state


_whole = CodeGenMixin.__getstate__


def main(folder, models, zoo, numbers):
    """Write every model, and one file with all results."""
    reference = {
        "command": "python -W ignore tests/regression/mace/recipe.py tests/regression/mace",
        "versions": {
            "mace-torch": __version__,
            "e3nn": e3nn.__version__,
            "torch": torch.__version__,
            "ase": ase.__version__,
        },
        "structures": {name: as_numbers(atoms) for name, atoms in zoo.items()},
        "results": {},
    }
    for name, settings in models.items():
        model = build(settings, numbers)
        CodeGenMixin.__getstate__ = without_programs
        torch.save(model, folder / f"{name}.model")
        CodeGenMixin.__getstate__ = _whole
        for head in settings.get("heads", [None]):
            key = name if head is None else f"{name}@{head}"
            reference["results"][key] = results(model, zoo, head)
    (folder / "reference.json").write_text(json.dumps(reference, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[2:] == ["large"]:
        everything = structures() | more_structures()
        main(Path(sys.argv[1]), LARGE, everything, tuple(range(1, 90)))
    else:
        main(Path(sys.argv[1]), MODELS, structures(), NUMBERS)
