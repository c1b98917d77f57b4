"""How the models of NequIP 0.6 beside this file were made, by its own code, with its numbers.

    pip install torch==2.13.0 nequip==0.6.2 "setuptools<81"
    TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1 python -W ignore tests/regression/nequip/recipe_old.py

(e3nn 0.5 reads a file of its own in the way that the variable allows.) Weights are random, in
float64. A deployed model is kept without its code, which nothing here reads; "training" is the
folder of a training, of which settings and weights are kept.
"""

import json
import zipfile
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from ase import Atoms
from nequip.ase import NequIPCalculator
from nequip.model import model_from_config
from nequip.scripts import deploy
from nequip.scripts.train import default_config
from nequip.utils import Config

HERE = Path(__file__).parent
COMMON = {
    **default_config,
    "root": "results",
    "run_name": "random",
    "seed": 1,
    "dataset_seed": 1,
    "default_dtype": "float64",
    "model_dtype": "float64",
    "r_max": 4.0,
    "num_layers": 3,
    "l_max": 2,
    "num_features": 4,
    "num_basis": 6,
    "invariant_layers": 2,
    "invariant_neurons": 8,
    "avg_num_neighbors": 8.0,
    "global_rescale_shift": None,
    "model_builders": [
        "SimpleIrrepsConfig",
        "EnergyModel",
        "PerSpeciesRescale",
        "StressForceOutput",
        "RescaleEnergyEtc",
    ],
}
VARIANTS = {
    "deployed.pth": {
        "parity": True,
        "chemical_symbol_to_type": {"Zn": 0, "O": 1},  # not by atomic number
        "per_species_rescale_shifts": [-1.2, -4.3],
        "per_species_rescale_scales": [1.5, 0.8],
        "global_rescale_scale": 2.5,
    },
    "training/best_model.pth": {
        "parity": False,
        "chemical_symbols": ["Zn", "O"],
        "per_species_rescale_shifts": [-4.3, -1.2],
        "per_species_rescale_scales": None,
        "global_rescale_scale": None,
        "PolynomialCutoff_p": 4,
        "nonlinearity_scalars": {"e": "ssp", "o": "tanh"},
        "nonlinearity_gates": {"e": "ssp", "o": "abs"},
        "invariant_layers": 1,
        "avg_num_neighbors": None,
    },
}


def save(settings: dict, folder: Path) -> Path:
    """Write a training's folder, and what is deployed from it."""
    config = Config.from_dict(dict(settings))
    torch.manual_seed(3)
    model = model_from_config(config, initialize=True, dataset=None)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("bessel_weights"):
                weight += 0.05 * torch.randn_like(weight)
    torch.save(model.state_dict(), folder / "best_model.pth")
    config.save(str(folder / "config.yaml"), "yaml")
    deploy.main(["build", "--train-dir", str(folder), str(folder / "deployed.pth")])
    return folder / "deployed.pth"


def evaluate(path: Path, structures: dict) -> list[dict]:
    kinds = {"O": "O", "Zn": "Zn"}
    calculator = NequIPCalculator.from_deployed_model(path, species_to_type_name=kinds)
    numbers = []
    for atoms in structures.values():
        atoms.calc = calculator
        numbers.append(
            {
                "energies": atoms.get_potential_energies().tolist(),
                "forces": atoms.get_forces().tolist(),
                "stress": atoms.get_stress(voigt=False).tolist(),
            }
        )
    return numbers


def without_code(source: Path, target: Path) -> None:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for entry in old.infolist():
            if "/code/" not in entry.filename:
                new.writestr(entry.filename, old.read(entry))


def main() -> None:
    torch.set_default_dtype(torch.float64)
    rows = json.loads((HERE / "reference.json").read_bytes())["structures"]
    structures = {
        row["name"]: Atoms(row["numbers"], row["positions"], cell=row["cell"], pbc=row["pbc"])
        for row in rows
        if row["name"] != "lone atom"  # which this version refuses
    }
    numbers = {}
    for name, changes in VARIANTS.items():
        with TemporaryDirectory() as place:
            path = save({**COMMON, **changes}, Path(place))
            numbers[name] = evaluate(path, structures)
            target = HERE / name
            target.parent.mkdir(exist_ok=True)
            if name == path.name:
                without_code(path, target)
            else:
                for part in (target.name, "config.yaml"):
                    (target.parent / part).write_bytes((Path(place) / part).read_bytes())
    content = {
        "command": "python tests/regression/nequip/recipe_old.py",
        "versions": {name: version(name) for name in ("torch", "nequip", "e3nn")},
        "numbers": numbers,
    }
    (HERE / "reference_old.json").write_text(json.dumps(content) + "\n")


if __name__ == "__main__":
    main()
