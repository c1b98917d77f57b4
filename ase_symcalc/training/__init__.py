"""From labelled frames to a potential."""

from ase_symcalc.training.config import TrainConfig as TrainConfig
from ase_symcalc.training.config import read_config as read_config
from ase_symcalc.training.fine_tune import fine_tuning as fine_tuning
from ase_symcalc.training.run import train as train
