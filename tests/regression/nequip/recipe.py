"""How the checkpoints beside this file were made, by NequIP's own code, with its numbers.

    pip install torch==2.13.0 nequip==0.19.1
    python tests/regression/nequip/recipe.py

With the name of a folder it writes there a network for 94 elements, and numbers for a zoo.

Weights are random. A checkpoint of a training holds more than what is kept here: the state of
optimisers, callbacks and loops. Numbers are NequIP's in float64.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.data import chemical_symbols
from ase.spacegroup import crystal
from nequip.integrations.ase import NequIPCalculator
from nequip.train import EMALightningModule, NequIPLightningModule
from nequip.utils.global_state import set_global_state

HERE = Path(__file__).parent
COMMON = {
    "_target_": "nequip.model.NequIPGNNModel",
    "seed": 4,
    "model_dtype": "float64",
    "type_names": ["Zn", "O"],  # not by atomic number
    "r_max": 4.0,
    "num_layers": 3,
    "l_max": 2,
    "num_features": [6, 3, 2],
    "type_embed_num_features": 4,
    "radial_mlp_depth": 2,
    "radial_mlp_width": 8,
    "num_bessels": 6,
    "avg_num_neighbors": 8.0,
    "per_type_energy_scales": {"Zn": 1.5, "O": 0.8},
    "per_type_energy_shifts": {"Zn": -1.2, "O": -4.3},
}
VARIANTS = {
    "parity": {"readout_mlp_hidden_layers_depth": 1, "readout_mlp_hidden_layers_width": 5},
    "natural": {
        "parity": False,
        "bessel_trainable": True,
        "per_type_energy_scales": 1.7,
        "per_type_energy_shifts": None,
        "polynomial_cutoff_p": 4,
    },
}


def structures() -> dict[str, Atoms]:
    rng = np.random.default_rng(4)
    sheared = bulk("ZnO", "zincblende", a=4.6)
    strain = np.array([[0.03, 0.12, -0.05], [0.0, -0.02, 0.08], [0.04, 0.0, 0.01]])
    sheared.set_cell(sheared.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    sheared.positions += rng.normal(0, 0.05, (2, 3))
    box = {"cell": [30] * 3, "pbc": True}
    handed = Atoms("ZnOZnO", [(0, 0, 0), (1.9, 0.2, 0), (1.7, 2.0, 0.3), (0.2, 1.8, 1.6)], **box)
    mirrored = handed.copy()
    mirrored.positions[:, 2] *= -1
    slab = bulk("Zn", "fcc", a=3.9, cubic=True)
    slab.cell[2, 2], slab.pbc = 12.0, (True, True, False)
    slab.positions += rng.normal(0, 0.05, (4, 3))
    return {
        "sheared binary crystal": sheared,
        "handed molecule": handed,
        "its mirror image": mirrored,
        "slab": slab,
        "lone atom": Atoms("O", **box),
    }


def zoo() -> dict[str, Atoms]:
    """Metals, oxides, salts, a molecule, a slab, handed crystals; all over the table."""
    rng = np.random.default_rng(7)
    cell = [[5.0, 0, 0], [1.4, 6.0, 0], [-0.8, 1.1, 5.5]]
    places = np.array([[0, 0, 0], [2, 2, 0], [2, 0, 2], [0, 2, 2], [1, 1, 1], [3, 3, 1], [1, 3, 3]])
    ethanol = molecule("CH3CH2OH", cell=[20] * 3, pbc=True)
    lengths = [4.456, 4.456, 5.921, 90, 90, 120]
    handed = crystal("Te", [(0.2636, 0, 1 / 3)], spacegroup=152, cellpar=lengths)
    structures = {
        "copper": bulk("Cu", cubic=True),
        "tungsten": bulk("W"),
        "magnesia": bulk("MgO", "rocksalt", a=4.21, cubic=True),
        "salt": bulk("CsCl", "cesiumchloride", a=4.12) * (2, 1, 1),
        "tellurium": handed,
        "ethanol": ethanol,
        "slab": fcc111("Pt", (2, 2, 3), vacuum=8.0),
        "seven elements": Atoms("LaCrBiUO2H", cell=cell, scaled_positions=places / 4, pbc=True),
    }
    for atoms in structures.values():
        atoms.positions += rng.normal(0, 0.05, atoms.positions.shape)
    structures["mirrored tellurium"] = mirrored = structures["tellurium"].copy()
    mirrored.set_cell(mirrored.cell.array * [1, 1, -1], scale_atoms=True)
    structures["lone atom"] = Atoms("Au", cell=[30] * 3, pbc=True)
    return structures


def universal() -> dict:
    """Settings of a network for many elements."""
    names = chemical_symbols[1:95]
    constants = np.random.default_rng(1).uniform(-9, -1, len(names)).tolist()
    return {
        "type_names": names,
        "r_max": 5.0,
        "num_layers": 4,
        "num_features": [32, 16, 8],
        "type_embed_num_features": 32,
        "radial_mlp_width": 64,
        "num_bessels": 8,
        "avg_num_neighbors": 30.0,
        "per_type_energy_scales": 1.7,
        "per_type_energy_shifts": dict(zip(names, constants, strict=True)),
    }


def save(name: str, changes: dict, folder: Path = HERE) -> Path:
    averaged = name == "parity"
    kind = EMALightningModule if averaged else NequIPLightningModule
    info = {
        "versions": {"nequip": version("nequip")},
        "training_module": {"_target_": f"nequip.train.{kind.__name__}"},
    }
    settings = {
        "model": {**COMMON, **changes},
        "num_datasets": {"train": 1, "val": 0, "test": 0, "predict": 0},
        "info_dict": info,
    }
    module = kind(**settings)
    torch.manual_seed(5)
    if averaged:  # as after a training: what is trained is not what is used
        with torch.no_grad():
            for weight in module.ema.ema_weights:
                weight += 0.2 * torch.randn_like(weight)
    path = folder / f"{name}.ckpt"
    content = {
        "epoch": 0,
        "global_step": 0,
        "pytorch-lightning_version": version("lightning"),
        "state_dict": module.state_dict(),
        "hyper_parameters": settings,
    }
    torch.save(content, path)
    return path


def evaluate(path: Path, every: dict[str, Atoms]) -> list[dict]:
    calculator = NequIPCalculator._from_saved_model(path, chemical_species_to_atom_type_map=True)
    numbers = []
    for atoms in every.values():
        atoms.calc = calculator
        numbers.append(
            {
                "energies": atoms.get_potential_energies().tolist(),
                "forces": atoms.get_forces().tolist(),
                "stress": atoms.get_stress(voigt=False).tolist(),
            }
        )
    return numbers


def rows(every: dict[str, Atoms]) -> list[dict]:
    return [
        {
            "name": name,
            "numbers": atoms.numbers.tolist(),
            "positions": atoms.positions.tolist(),
            "cell": atoms.cell.array.tolist(),
            "pbc": atoms.pbc.tolist(),
        }
        for name, atoms in every.items()
    ]


def write_universal(folder: Path) -> None:
    path = save("universal", universal(), folder)
    content = {"structures": rows(zoo()), "numbers": {"universal": evaluate(path, zoo())}}
    (folder / "reference.json").write_text(json.dumps(content))


def main() -> None:
    every = structures()
    content = {
        "command": "python tests/regression/nequip/recipe.py",
        "versions": {name: version(name) for name in ("torch", "nequip")},
        "structures": rows(every),
        "numbers": {
            name: evaluate(save(name, changes), every) for name, changes in VARIANTS.items()
        },
    }
    (HERE / "reference.json").write_text(json.dumps(content) + "\n")


if __name__ == "__main__":
    set_global_state(allow_tf32=False)
    if len(sys.argv) > 1:
        write_universal(Path(sys.argv[1]))
    else:
        main()
