"""How the checkpoints beside this file were made, by NequIP's own code, with its numbers.

    pip install torch==2.13.0 nequip==0.19.1
    python tests/regression/nequip/recipe.py

Weights are random. A checkpoint of a training holds more than what is kept here: the state of
optimisers, callbacks and loops. Numbers are NequIP's in float64.
"""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk
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
    return {
        "sheared binary crystal": sheared,
        "handed molecule": handed,
        "lone atom": Atoms("O", **box),
    }


def save(name: str, changes: dict) -> Path:
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
    path = HERE / f"{name}.ckpt"
    content = {
        "epoch": 0,
        "global_step": 0,
        "pytorch-lightning_version": version("lightning"),
        "state_dict": module.state_dict(),
        "hyper_parameters": settings,
    }
    torch.save(content, path)
    return path


def evaluate(path: Path) -> list[dict]:
    calculator = NequIPCalculator._from_saved_model(path, chemical_species_to_atom_type_map=True)
    numbers = []
    for atoms in structures().values():
        atoms.calc = calculator
        numbers.append(
            {
                "energies": atoms.get_potential_energies().tolist(),
                "forces": atoms.get_forces().tolist(),
                "stress": atoms.get_stress(voigt=False).tolist(),
            }
        )
    return numbers


def main() -> None:
    set_global_state(allow_tf32=False)
    rows = [
        {
            "name": name,
            "numbers": atoms.numbers.tolist(),
            "positions": atoms.positions.tolist(),
            "cell": atoms.cell.array.tolist(),
            "pbc": atoms.pbc.tolist(),
        }
        for name, atoms in structures().items()
    ]
    content = {
        "command": "python tests/regression/nequip/recipe.py",
        "versions": {name: version(name) for name in ("torch", "nequip")},
        "structures": rows,
        "numbers": {name: evaluate(save(name, changes)) for name, changes in VARIANTS.items()},
    }
    (HERE / "reference.json").write_text(json.dumps(content) + "\n")


if __name__ == "__main__":
    main()
