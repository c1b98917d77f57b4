"""How the checkpoints beside this file were made, by SevenNet's own code, with its numbers.

    pip install torch==2.13.0 sevenn==0.13.0
    python tests/regression/sevennet/recipe.py

With the name of a trained potential and of a file it writes numbers for that one:

    python tests/regression/sevennet/recipe.py 7net-mf-0@PBE numbers.json

Weights here are random. Energies, forces and stress are SevenNet's in float64; for that its one-hot
species, which are float32 whatever the model is, are made float64, and its coupling coefficients,
which a checkpoint has in float32, are taken from e3nn in float64.
"""

import json
import sys
from pathlib import Path

import numpy as np
import sevenn
import torch
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.spacegroup import crystal
from sevenn._const import DEFAULT_E3_EQUIVARIANT_MODEL_CONFIG, AtomGraphDataType
from sevenn.atom_graph_data import AtomGraphData
from sevenn.checkpoint import SevenNetCheckpoint
from sevenn.model_build import build_E3_equivariant_model
from sevenn.nn.node_embedding import OnehotEmbedding
from sevenn.scripts.backward_compatibility import patch_state_dict_if_old
from sevenn.train.dataload import unlabeled_atoms_to_graph
from sevenn.util import pretrained_name_to_path

HERE = Path(__file__).parent

COMMON = {
    **DEFAULT_E3_EQUIVARIANT_MODEL_CONFIG,
    "version": sevenn.__version__,
    "_model_type": "E3_equivariant_model",
    "cutoff": 4.0,
    "channel": 4,
    "lmax": 2,
    "num_convolution_layer": 3,
    "weight_nn_hidden_neurons": [8],
    "conv_denominator": 3.0,
    "radial_basis": {"radial_basis_name": "bessel", "bessel_basis_num": 6},
    "cutoff_function": {"cutoff_function_name": "poly_cut", "poly_cut_p_value": 5},
    "chemical_species": ["Cu", "O", "Zn"],  # not by atomic number
    "_number_of_species": 3,
    "_type_map": {29: 0, 8: 1, 30: 2},
    "shift": [-3.1, -4.2, -1.3],
    "scale": [1.5, 0.7, 1.1],
    "use_modality": False,
}
MULTIPLICITIES = ["8x0e", "8x0e+4x1e+2x2e", "8x0e+4x1e+2x2e", "8x0e"]
VARIANTS = {
    "parity": {},
    "no_parity": {
        "is_parity": False,
        "irreps_manual": MULTIPLICITIES,
        "self_connection_type": "linear",
        "cutoff_function": {"cutoff_function_name": "XPLOR", "cutoff_on": 3.2},
        "scale": 1.7,
    },
    "old": {  # sorted otherwise, and harmonics that grow with the length
        "version": "0.9.3",
        "is_parity": False,
        "_normalize_sph": False,
        "conv_denominator": [5.0, 6.0, 7.0],
        "shift": -2.0,
        "scale": 0.9,
    },
    "modal": {
        "is_parity": False,
        "use_modality": True,
        "_number_of_modalities": 2,
        "_modal_map": {"PBE": 0, "R2SCAN": 1},
        "use_modal_node_embedding": True,
        "use_modal_self_inter_intro": True,
        "use_modal_self_inter_outro": True,
        "use_modal_output_block": True,
        "use_modal_wise_shift": True,
        "use_modal_wise_scale": False,
        "shift": [[-3.1, -4.2, -1.3], [-7.0, -8.0, -9.0]],
    },
    "other_settings": {
        "lmax": 1,
        "lmax_edge": 2,
        "lmax_node": 1,
        "readout_as_fcn": True,
        "readout_fcn_hidden_neurons": [6, 5],
        "readout_fcn_activation": "silu",
        "use_bias_in_linear": True,
        "self_connection_type": ["nequip", "linear", "nequip"],
        "act_radial": "ssp",
        "act_scalar": {"e": "ssp", "o": "tanh"},
        "act_gate": {"e": "silu", "o": "abs"},
        "radial_basis": {"radial_basis_name": "bessel", "trainable_coeff": False},
    },
    "ompa": {  # as 7net-mf-ompa in sevenn's preset for fine-tuning, with fewer of everything
        "channel": 6,
        "irreps_manual": [
            "6x0e",
            "6x0e+3x1o+2x2e+2x3o",
            "6x0e+3x1o+3x1e+2x2o+2x2e+2x3o+2x3e",
            "6x0o+6x0e+3x1o+3x1e+2x2o+2x2e+2x3o+2x3e",
            "6x0e+3x1o+2x2e+2x3o",
            "6x0e",
        ],
        "lmax": 3,
        "num_convolution_layer": 5,
        "weight_nn_hidden_neurons": [8, 8],
        "radial_basis": {"radial_basis_name": "bessel", "bessel_basis_num": 8},
        "cutoff_function": {"cutoff_function_name": "XPLOR", "cutoff_on": 3.5},
        "self_connection_type": "nequip",
        "use_modality": True,
        "_number_of_modalities": 2,
        "_modal_map": {"mpa": 0, "omat24": 1},
        "use_modal_node_embedding": False,
        "use_modal_self_inter_intro": True,
        "use_modal_self_inter_outro": True,
        "use_modal_output_block": True,
        "use_modal_wise_shift": True,
        "use_modal_wise_scale": False,
        "shift": [[-3.1, -4.2, -1.3], [-7.0, -8.0, -9.0]],
        "scale": 1.7,
    },
}


def structures() -> dict[str, Atoms]:
    rng = np.random.default_rng(4)
    sheared = bulk("ZnO", "zincblende", a=4.6)
    strain = np.array([[0.03, 0.12, -0.05], [0.0, -0.02, 0.08], [0.04, 0.0, 0.01]])
    sheared.set_cell(sheared.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    sheared.positions += rng.normal(0, 0.05, (2, 3))
    handed = Atoms("CuOZnO", [(0, 0, 0), (1.9, 0.2, 0), (1.7, 2.0, 0.3), (0.2, 1.8, 1.6)])
    mirrored = handed.copy()
    mirrored.positions[:, 2] *= -1
    slab = bulk("Cu", cubic=True)
    slab.pbc = (True, True, False)
    slab.positions += rng.normal(0, 0.05, (4, 3))
    return {
        "sheared binary crystal": sheared,
        "handed molecule": handed,
        "its mirror image": mirrored,
        "slab": slab,
        "lone atom": Atoms("O"),
    }


def zoo() -> dict[str, Atoms]:
    """Metals, oxides, salts, a molecule, a slab, handed crystals; all over the table."""
    rng = np.random.default_rng(7)
    cell = [[5.0, 0, 0], [1.4, 6.0, 0], [-0.8, 1.1, 5.5]]
    places = np.array([[0, 0, 0], [2, 2, 0], [2, 0, 2], [0, 2, 2], [1, 1, 1], [3, 3, 1], [1, 3, 3]])
    structures = {
        "copper": bulk("Cu", cubic=True),
        "tungsten": bulk("W"),
        "magnesia": bulk("MgO", "rocksalt", a=4.21, cubic=True),
        "salt": bulk("CsCl", "cesiumchloride", a=4.12) * (2, 1, 1),
        "rutile": crystal(
            ["Ti", "O"],
            [(0, 0, 0), (0.305, 0.305, 0)],
            spacegroup=136,
            cellpar=[4.59, 4.59, 2.96, 90, 90, 90],
        ),
        "tellurium": crystal(
            "Te", [(0.2636, 0, 1 / 3)], spacegroup=152, cellpar=[4.456, 4.456, 5.921, 90, 90, 120]
        ),
        "ethanol": molecule("CH3CH2OH"),
        "slab": fcc111("Pt", (2, 2, 3), vacuum=8.0),
        "seven elements": Atoms("LaCrBiUO2H", cell=cell, scaled_positions=places / 4, pbc=True),
    }
    for atoms in structures.values():
        atoms.positions += rng.normal(0, 0.05, atoms.positions.shape)
    structures["mirrored tellurium"] = mirrored = structures["tellurium"].copy()
    mirrored.set_cell(mirrored.cell.array * [1, 1, -1], scale_atoms=True)
    structures["lone atom"] = Atoms("Au")
    return structures


def one_hot_in_float64(self: OnehotEmbedding, data: AtomGraphDataType) -> AtomGraphDataType:
    index = data[self.key_x]
    one_hot = torch.nn.functional.one_hot(index, self.num_classes).double()
    data[self.key_output] = one_hot
    if self.key_additional_output is not None:
        data[self.key_additional_output] = one_hot
    if self.key_save is not None:
        data[self.key_save] = index
    return data


def save(name: str, config: dict, seed: int) -> Path:
    torch.manual_seed(seed)
    model = build_E3_equivariant_model(config)
    with torch.no_grad():  # biases start as zeros, wave numbers as multiples
        for key, weight in model.named_parameters():
            if key.endswith(".bias"):
                weight.normal_()
            if key.endswith("coeffs"):
                weight += 0.05 * torch.randn_like(weight)
    path = HERE / f"{name}.pth"
    torch.save({"model_state_dict": model.state_dict(), "config": config, "epoch": 0}, path)
    return path


def in_float64(path: Path) -> torch.nn.Module:
    checkpoint = SevenNetCheckpoint(path)
    torch.set_default_dtype(torch.float64)
    try:
        model = build_E3_equivariant_model(checkpoint.config)
        state = {k: v.double() for k, v in checkpoint.model_state_dict.items()}
        state = patch_state_dict_if_old(state, checkpoint.config, model)
    finally:
        torch.set_default_dtype(torch.float32)
    model.load_state_dict({k: v for k, v in state.items() if "_w3j_" not in k}, strict=False)
    model = model.double()
    model.set_is_batch_data(False)
    return model


def evaluate(model: torch.nn.Module, atoms: Atoms, modality: str | None) -> dict:
    arrays = unlabeled_atoms_to_graph(atoms.copy(), model.cutoff)
    data = AtomGraphData.from_numpy_dict(dict(arrays))
    for key in ("edge_vec", "pos", "cell_volume"):
        data[key] = torch.as_tensor(np.asarray(arrays[key]), dtype=torch.float64)
    if modality:
        data["data_modality"] = modality
    out = model._preprocess(data)
    features = []  # what neighbours see, from the second layer on
    for name, module in model.named_children():
        out = module(out)
        if name.endswith("_self_interaction_1") and name[0] != "0":
            features.append(out["x"].tolist())
    xx, yy, zz, xy, yz, zx = (-out["inferred_stress"]).tolist()
    has_volume = atoms.pbc.any() and abs(atoms.cell.volume) > 0
    return {
        "energies": out["atomic_energy"].flatten().tolist(),
        "forces": out["inferred_force"].tolist(),
        "stress": [[xx, xy, zx], [xy, yy, yz], [zx, yz, zz]] if has_volume else None,
        "features": features if atoms.get_chemical_formula() == "CuO2Zn" else [],
    }


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


def trained(name: str, out: str) -> None:
    name, _, modality = name.partition("@")
    path = pretrained_name_to_path(name)
    model = in_float64(Path(path))
    numbers = [evaluate(model, atoms, modality or None) for atoms in zoo().values()]
    content = {"file": path, "structures": rows(zoo()), "numbers": numbers}
    Path(out).write_text(json.dumps(content))


def main() -> None:
    numbers = {}
    for seed, (name, changes) in enumerate(VARIANTS.items()):
        path = save(name, {**COMMON, **changes}, seed)
        model = in_float64(path)
        for modality in changes.get("_modal_map", {None: 0}):
            label = f"{name}.pth" + (f"@{modality}" if modality else "")
            numbers[label] = [evaluate(model, atoms, modality) for atoms in structures().values()]
    versions = {"torch": torch.__version__, "sevenn": sevenn.__version__}
    content = {
        "command": "python tests/regression/sevennet/recipe.py",
        "versions": versions,
        "structures": rows(structures()),
        "numbers": numbers,
    }
    (HERE / "reference.json").write_text(json.dumps(content) + "\n")


if __name__ == "__main__":
    OnehotEmbedding.forward = one_hot_in_float64
    if len(sys.argv) > 1:
        trained(*sys.argv[1:])
    else:
        main()
