"""A pickled torch module as a tree of names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from e3nn.o3 import Irreps
from torch import Tensor

from ase_symcalc.potential_files.convert.unpickle import Record, Reference

_DEEPEST = 16  # modules within modules; MACE has seven


class PickledModule:
    """Children, attributes and tensors of a module that is not rebuilt.

    Attributes
    ----------
    kind : str
        Name of its class, without the package.

    Raises
    ------
    TypeError
        If the record is none of a module.
    """

    def __init__(self, record: Any) -> None:
        if not isinstance(record, Record) or not isinstance(record.state.get("_modules"), dict):
            raise TypeError(f"a {type(record).__name__} where a module should be")
        self._state = record.state
        self.kind = record.name.rpartition(".")[2]

    def has(self, child: str) -> bool:
        """Whether there is such a child."""
        return self._state["_modules"].get(child) is not None

    def child(self, path: str) -> PickledModule:
        """Find a module by its name with dots."""
        name, _, rest = path.partition(".")
        module = PickledModule(self._state["_modules"][name])
        return module.child(rest) if rest else module

    def children(self, path: str) -> list[PickledModule]:
        """All modules in a list of modules."""
        return [PickledModule(record) for record in self.child(path)._state["_modules"].values()]

    def get(self, name: str, default: Any = None) -> Any:
        """Attribute that is neither module nor tensor."""
        return self._state.get(name, default)

    def irreps(self, name: str, default: Any = None) -> Irreps:
        """Attribute that is irreps of e3nn: text, or an object."""
        value = self.get(name, default)
        if isinstance(value, str):
            return Irreps(value)
        ((*parts,),) = value.args
        pairs = (_only(part.args) for part in parts)
        return Irreps([(mul, _only(ir.args)) for mul, ir in pairs])

    def tensors(self, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Tensor]]:
        """All tensors by name, as in torch's state dict."""
        if depth > _DEEPEST:
            raise ValueError(f"modules nested more than {_DEEPEST} deep")
        for kind in ("_parameters", "_buffers"):
            for name, tensor in self._state.get(kind, {}).items():
                if isinstance(tensor, Tensor):
                    yield f"{prefix}{name}", tensor
        for name, record in self._state["_modules"].items():
            if isinstance(record, Record) and isinstance(record.state.get("_modules"), dict):
                yield from PickledModule(record).tensors(f"{prefix}{name}.", depth + 1)


def silu_gain(activation: PickledModule) -> float:
    """Factor that e3nn gives to an activation, which must be silu."""
    function = activation.get("f")
    if function != Reference("torch.nn.functional.silu"):
        found = function.name if isinstance(function, Reference) else type(function).__name__
        raise ValueError(f"the activation {found[:80]!r}, not silu")
    return 1.0 if activation.get("_is_id") else float(activation.get("cst"))


def _only(args: tuple[Any, ...]) -> Any:
    return args[0] if len(args) == 1 else args
