"""SevenNet checkpoints: a state dict, and the settings of the training."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ase_symcalc.errors import PotentialFileError
from ase_symcalc.models import AbstractEnergyModel
from ase_symcalc.potential_files.convert.dialect import EdgeDialect
from ase_symcalc.potential_files.convert.e3nn_weights import Tensors
from ase_symcalc.potential_files.convert.nequip_weights import network
from ase_symcalc.potential_files.convert.origin import UNSTATED, Origin
from ase_symcalc.potential_files.convert.sevennet_settings import SevenNetSettings
from ase_symcalc.potential_files.convert.sevennet_weights import SevenNetWeights

FORMAT = "SevenNet checkpoints (.pth)"
DIALECT = EdgeDialect(centre_row=0, vector="centre_to_neighbour")

_FILES = {
    "7net-0": "SevenNet_0__11Jul2024/checkpoint_sevennet_0.pth",
    "7net-0_11jul2024": "SevenNet_0__11Jul2024/checkpoint_sevennet_0.pth",
    "7net-0_22may2024": "SevenNet_0__22May2024/checkpoint_sevennet_0.pth",
    "7net-l3i5": "SevenNet_l3i5/checkpoint_l3i5.pth",
    "7net-mf-0": "SevenNet_MF_0/checkpoint_sevennet_mf_0.pth",
    "7net-mf-ompa": "SevenNet_MF_ompa/checkpoint_sevennet_mf_ompa.pth",
    "7net-omat": "SevenNet_omat/checkpoint_sevennet_omat.pth",
    "7net-omni": "SevenNet_omni/checkpoint_sevennet_omni.pth",
}
"""In the folder of pretrained potentials of the package sevenn, or its cache."""

_MATERIALS_PROJECT = ("PBE and PBE+U as in the Materials Project", "MPtrj (Deng et al., 2023)")
_TRAINED_ON = {
    "SevenNet_0__11Jul2024": _MATERIALS_PROJECT,
    "SevenNet_0__22May2024": _MATERIALS_PROJECT,
    "SevenNet_l3i5": _MATERIALS_PROJECT,
}
"""Level of theory and data, as the package's documentation says, by folder."""


def locate(name: str) -> Path | None:
    """File of a potential that comes with the package sevenn, which is not imported.

    Raises
    ------
    PotentialFileError
        If the name is SevenNet's, but the file is not on this machine.
    """
    key = name.lower().replace("sevennet-", "7net-")
    if key not in _FILES:
        return None
    spec = find_spec("sevenn")  # a search on the disk only
    installed = spec.submodule_search_locations if spec else None
    folders = [Path(place) / "pretrained_potentials" for place in installed or ()]
    for folder in [*folders, Path.home() / ".cache" / "sevennet"]:
        if (path := folder / _FILES[key]).is_file():
            return path
    if not folders:
        raise PotentialFileError(
            f"{name} comes with the package sevenn, which is not installed here; "
            "`pip install 'ase-symcalc[sevennet]'` brings it. The path of a checkpoint works too."
        )
    raise PotentialFileError(
        f"{name} does not come with the package sevenn but is fetched from "
        "https://github.com/MDIL-SNU/SevenNet/releases; give the path of the file."
    )


def recognises(content: Any) -> bool:
    """Whether a checkpoint is SevenNet's."""
    return isinstance(content, dict) and {"model_state_dict", "config"} <= content.keys()


def convert(content: Any, where: str, selection: str | None) -> tuple[AbstractEnergyModel, Origin]:
    """Build the network of a checkpoint.

    Parameters
    ----------
    content : object
        From `read_checkpoint`.
    where : str
        The file, for messages.
    selection : str or None
        The modality, for checkpoints of several.

    Raises
    ------
    PotentialFileError
        If settings or tensors are not those of a network that is known here.
    """
    settings = SevenNetSettings(content["config"], where)
    modality = settings.modality(selection)
    named = content["model_state_dict"]
    tensors = Tensors(where, _renamed(named) if isinstance(named, Mapping) else named)
    try:
        config = settings.network()
        weights = SevenNetWeights(settings, config, tensors, modality, DIALECT).read()
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise PotentialFileError(
            f"{where}: expected the settings of a SevenNet network, got: {str(error)[:200]}"
        ) from error
    tensors.finish(lambda name, _: _CONSTANTS.search(name) is not None)
    theory, data = _TRAINED_ON.get(Path(where).parent.name, (UNSTATED, UNSTATED))
    origin = Origin(
        package=f"SevenNet {settings.version}",
        licence="SevenNet is under the MIT licence; for the weights ask whoever trained them",
        level_of_theory=theory,
        training_data=data,
        implementation="Park, Kim, Hwang and Han, J. Chem. Theory Comput. 20, 4857 (2024)",
        architecture="Batzner et al., Nat. Commun. 13, 2453 (2022)",
    )
    return network(config, weights), origin


_CONSTANTS = re.compile(r"output_mask$|_w3j_\d+_\d+_\d+$|\.gate\.mul\.|_convolution\.convolution\.")
_OLD_NAMES = {
    "EdgeEmbedding": "edge_embedding",
    "reducing_nn_input_to_hidden": "reduce_input_to_hidden",
    "reducing_nn_hidden_to_energy": "reduce_hidden_to_energy",
}


def _renamed(named: Mapping[Any, Any]) -> dict[str, Any]:
    """Names of version 0.10 and later, also for older files."""
    out = {}
    for name, value in named.items():
        head, _, tail = str(name).replace(" ", "_").partition(".")
        out[f"{_OLD_NAMES.get(head, head)}.{tail.replace('denumerator', 'denominator')}"] = value
    return out
