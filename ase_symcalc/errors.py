"""The failures a caller can act on, each with a sentence that says how."""


class SymCalcError(Exception):
    """Base of every error this package raises on purpose."""


class InputError(SymCalcError, ValueError):
    """A structure or an argument has no meaning; says what was expected and what came."""


class UnsupportedElementError(InputError):
    """The potential was not trained on an element of the structure."""


class PotentialFileError(SymCalcError):
    """A potential's files are missing, damaged, or of a format this version cannot read."""


class StoreError(SymCalcError):
    """The results of a screen cannot be read or written."""


class WorkerError(SymCalcError):
    """The workers of a screen cannot do their work, whatever the structure."""


class NumericalError(SymCalcError, ArithmeticError):
    """The network returned something that is not a number."""


class OutsideTrainingWarning(UserWarning):
    """A structure holds what the potential never met in training."""


class UnfamiliarAtomsWarning(OutsideTrainingWarning):
    """Atoms are in surroundings unlike those of the training."""
