"""What a training run is told, read from one TOML file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from ase_symcalc.errors import InputError
from ase_symcalc.models import ModelConfig, NetworkConfig
from ase_symcalc.models.mace_config import MACEConfig
from ase_symcalc.potential_files import References
from ase_symcalc.potential_files.tables import from_table, read_toml
from ase_symcalc.training.start import load_starts


def _require_positive(section: str, **values: float | int) -> None:
    for name, value in values.items():
        if not value > 0:
            raise InputError(f"{section}.{name} must be positive; got {value}")


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file of labelled frames."""

    path: str
    index: str = ":"
    """which frames, as ASE writes slices"""
    stress: Literal["full", "deviatoric", "none"] = "full"
    """how much of the stress labels to trust; "deviatoric" leaves out the pressure"""
    energy_key: str | None = None
    """entry of `Atoms.info` that holds the energy, if it is not that of the calculator"""
    forces_key: str | None = None
    """entry of `Atoms.arrays` that holds the forces, if they are not those of the calculator"""
    stress_key: str | None = None
    """entry of `Atoms.info` that holds the stress, if it is not that of the calculator"""
    head: str = ""
    """level of theory, a head of the model; energies of different heads are never compared"""


@dataclass(frozen=True, slots=True)
class DataConfig:
    """Which frames are learnt from, watched, and kept for the last word."""

    train: tuple[DataFile, ...]
    test: tuple[DataFile, ...] = ()
    validation_fraction: float = 0.05
    max_force: float = 30.0
    """eV/Å; frames of `train` with a larger force are dropped"""
    weights: Mapping[str, float] = field(default_factory=dict)
    """factor on the loss of the frames of a config_type; 1 where none is given"""
    check: bool = True
    """refuse frames whose labels contradict each other: see `training.checks`"""

    def __post_init__(self) -> None:
        if not self.train:
            raise InputError("data.train lists no file; give at least one")
        if not 0 < self.validation_fraction < 1:
            raise InputError(
                f"data.validation_fraction must lie between 0 and 1; got {self.validation_fraction}"
            )
        _require_positive("data", max_force=self.max_force)
        _require_positive("data.weights", **self.weights)


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights of the three terms of the loss."""

    energy: float
    forces: float
    stress: float


@dataclass(frozen=True, slots=True)
class LossConfig:
    """How far a prediction is off: see `training.loss`."""

    kind: Literal["huber", "mse"] = "huber"
    energy_scale: float = 0.01
    """eV/atom; an error of this size counts one"""
    force_scale: float = 0.05
    """eV/Å"""
    stress_scale: float = 0.01
    """eV/Å³"""
    first: Weights = Weights(energy=0.3, forces=1.0, stress=0.3)
    second: Weights = Weights(energy=3.0, forces=1.0, stress=0.3)

    def __post_init__(self) -> None:
        _require_positive(
            "loss",
            energy_scale=self.energy_scale,
            force_scale=self.force_scale,
            stress_scale=self.stress_scale,
        )


@dataclass(frozen=True, slots=True)
class OptimiserConfig:
    """AdamW, and the moving average of the weights."""

    learning_rate: float = 0.005
    weight_decay: float = 1e-6
    max_gradient: float = 10.0
    """norm to which a longer gradient is cut"""
    average_decay: float = 0.995
    """what the averaged weights keep of themselves in one step"""
    max_edges: int = 20_000
    """edges in a mini-batch; a larger structure is a batch of its own"""

    def __post_init__(self) -> None:
        _require_positive(
            "optimiser",
            learning_rate=self.learning_rate,
            max_gradient=self.max_gradient,
            max_edges=self.max_edges,
        )
        if not 0 <= self.average_decay < 1:
            raise InputError(f"optimiser.average_decay must be in [0, 1); got {self.average_decay}")


@dataclass(frozen=True, slots=True)
class ScheduleConfig:
    """How long, and what changes on the way."""

    epochs: int = 100
    warmup_epochs: float = 1.0
    decay: Literal["cosine", "plateau"] = "cosine"
    """of the learning rate: with the epochs, or halved when validation gets no better"""
    patience: int = 10
    """epochs that a plateau must last"""
    final_fraction: float = 0.01
    """learning rate at the end, or the least on plateaus, over its peak"""
    second_stage: float = 0.25
    """last fraction of the epochs, trained with the second weights of the loss"""
    max_minutes: float | None = None
    """of one sitting, if limited; the run then stops with a checkpoint; call again to go on"""
    checkpoint_minutes: float = 3.0

    def __post_init__(self) -> None:
        _require_positive("schedule", epochs=self.epochs, patience=self.patience)
        for name in ("final_fraction", "second_stage"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(
                    f"schedule.{name} must lie between 0 and 1; got {getattr(self, name)}"
                )
        if not 0 <= self.warmup_epochs < self.epochs:
            raise InputError(
                f"schedule.warmup_epochs must be shorter than the {self.epochs} epochs; "
                f"got {self.warmup_epochs}"
            )


@dataclass(frozen=True, slots=True)
class StartConfig:
    """The potential whose weights a run starts from."""

    potential: str
    """name or folder, with ``@`` and a head if it has several"""
    freeze: tuple[str, ...] = ()
    """parameters that keep their values, by the beginning of their names: "layers.0" """
    references: Literal["refit", "keep"] = "refit"
    """reference energies: moved to where the potential is right on average over the data of
    each composition, or kept, for data at the very level of theory of the potential"""
    replay: tuple[DataFile, ...] = ()
    """frames of the earlier training, against forgetting"""
    replay_fraction: float = 0.5
    """part of each epoch's frames that are replayed, drawn anew for each"""

    def __post_init__(self) -> None:
        if not 0 < self.replay_fraction < 1:
            raise InputError(
                f"start.replay_fraction must lie between 0 and 1; got {self.replay_fraction}"
            )


@dataclass(frozen=True, slots=True)
class HeadConfig:
    """What the card says of one level of theory."""

    level_of_theory: str = "not stated"
    training_data: str = "not stated"


@dataclass(frozen=True, slots=True)
class CardConfig:
    """What the card of the potential says beside the numbers that are measured."""

    name: str = "trained"
    version: str = "0.1"
    description: str = "trained with `symcalc train`"
    default: bool = False
    preview: bool = False
    level_of_theory: str = "not stated"
    training_data: str = "not stated"
    limits: str = "not stated; assume what the training data hold and nothing else"
    not_for: str = "structures unlike the training data"
    licence: str = "not stated"
    authors: tuple[str, ...] = ()
    reproduce: str = "symcalc train config.toml"
    references: References | None = None
    """what to cite; else that of the kind of network"""
    heads: Mapping[str, HeadConfig] = field(default_factory=dict)
    """by name, if the model has several"""
    default_head: str | None = None
    """which is meant where a user names none"""


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """A whole training run."""

    folder: str
    """where the run writes"""
    model: NetworkConfig
    """a `ModelConfig`, or a `MACEConfig` where the table says ``family = "mace"``; its
    avg_num_neighbours is replaced by what the data have, unless a potential is started from:
    then all but the heads is as there"""
    data: DataConfig
    loss: LossConfig = LossConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    start: StartConfig | None = None
    seed: int = 0
    members: int = 1
    """potentials to train, from seeds ``seed``, ``seed + 1``, ...: a committee"""
    device: str = "auto"
    """as torch names it; "auto" is CUDA where there is some"""
    card: CardConfig = CardConfig()

    def __post_init__(self) -> None:
        _require_positive("train", members=self.members)
        _check_heads(self)


def read_config(path: Path | str, data: Path | str | None = None) -> TrainConfig:
    """Read a TOML file; paths in it are relative to its folder.

    Parameters
    ----------
    path : path
    data : path, optional
        Folder that the paths of data files are relative to instead, but for those that begin
        with ``./``.

    Raises
    ------
    InputError
        If the file is missing or not TOML, or a key in it is unknown, missing, or has a value
        that makes no sense.
    """
    path = Path(path)
    try:
        table = read_toml(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read the training configuration {path}: {error}") from error
    except ValueError as error:
        raise InputError(f"{path} is not valid TOML: {error}") from error
    try:
        config = config_from_table(table, path.parent)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error

    source = path.parent if data is None else Path(data)

    def resolve(files: tuple[DataFile, ...]) -> tuple[DataFile, ...]:
        return tuple(
            replace(file, path=str((path.parent if file.path[:2] == "./" else source) / file.path))
            for file in files
        )

    found = replace(config.data, train=resolve(config.data.train), test=resolve(config.data.test))
    start = config.start and replace(config.start, replay=resolve(config.start.replay))
    return replace(config, folder=str(path.parent / config.folder), data=found, start=start)


def config_from_table(table: Mapping[str, Any], folder: Path = Path()) -> TrainConfig:
    """Check a nested table, as TOML gives it, and make a `TrainConfig` of it.

    The path of a potential to start from is relative to ``folder``.
    """
    table, model = dict(table), table.get("model")
    for section in ("data", "start"):
        if isinstance(held := table.get(section), Mapping):
            table[section] = {key: _files(held[key], key) for key in held}
    if "start" in table:
        potential = from_table(StartConfig, table["start"], "start").potential
        if Path(potential).name != potential:
            potential = str(folder / Path(potential).expanduser())
        table["start"]["potential"] = potential
        table["model"] = _network_of(potential, {} if model is None else model)
    elif isinstance(model, Mapping):
        table["model"] = _new_network(model)
    return from_table(TrainConfig, table)


def _network_of(potential: str, model: Any) -> Any:
    """Table of the network of a potential, and the heads of the table that is given."""
    if not isinstance(model, Mapping):
        return model
    if given := sorted(set(model) - {"heads"}):
        raise InputError(
            f"model.{given[0]} is that of start.potential; leave it out: only heads may be given"
        )
    heads = model.get("heads", [])
    names = [str(name) for name in heads] if isinstance(heads, list) else []
    settings = next(iter(load_starts(potential, names).values())).model.config
    if not isinstance(settings, ModelConfig):
        return settings
    plain = settings.to_dict() | {"heads": heads}
    del plain["family"]
    return from_table(ModelConfig, plain, "model")


def _new_network(model: Mapping[str, Any]) -> NetworkConfig:
    if "avg_num_neighbours" in model:
        raise InputError("model.avg_num_neighbours is counted from the data; leave it out")
    families: dict[Any, type[NetworkConfig]] = {"symnet": ModelConfig, "mace": MACEConfig}
    settings = dict(model)
    family = settings.pop("family", "symnet")
    if family not in families:
        raise InputError(f"expected model.family among {', '.join(families)}; got {family!r}")
    return from_table(families[family], settings, "model")


def _check_heads(config: TrainConfig) -> None:
    heads, data = config.model.heads, config.data
    learnt = (*data.train, *(config.start.replay if config.start else ()))
    for file in (*learnt, *data.test):
        if heads and file.head not in heads:
            raise InputError(
                f"{file.path}: expected head to name one of model.heads, {', '.join(heads)}; "
                f"got {file.head or 'none'}"
            )
        if file.head and not heads:
            raise InputError(f"{file.path} is for head {file.head}, but model.heads lists none")
    if missing := set(heads) - {file.head for file in learnt}:
        raise InputError(f"no file to train on is for head {min(missing)} of model.heads")
    default = config.card.default_head
    if strange := set(config.card.heads) - set(heads) | ({default} - {None, *heads}):
        raise InputError(f"the card speaks of a head {strange.pop()}, which model.heads lacks")


def _files(value: Any, key: str) -> Any:
    """In a list of files, a bare path stands for all frames of a file."""
    if key not in ("train", "test", "replay") or not isinstance(value, list):
        return value
    return [{"path": file} if isinstance(file, str) else file for file in value]
