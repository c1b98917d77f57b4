"""Energies, forces and stresses of atoms from E(3)-equivariant networks, for ASE."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ase_symcalc.calculator import SymCalc as SymCalc
    from ase_symcalc.evaluation.evaluate import evaluate as evaluate
    from ase_symcalc.potential_files import list_potentials as list_potentials
    from ase_symcalc.potential_files import load_potential as load_potential

__version__ = "0.1.0"
__all__ = ["SymCalc", "__version__", "evaluate", "list_potentials", "load_potential"]

_ROOMS = {
    "SymCalc": "calculator",
    "evaluate": "evaluation",
    "list_potentials": "potential_files",
    "load_potential": "potential_files",
}

if not TYPE_CHECKING:  # a type checker would take it as leave to use any name

    def __getattr__(name: str) -> object:
        """Import a public name on first use, so that ``symcalc --help`` need not load torch."""
        if name not in _ROOMS:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
