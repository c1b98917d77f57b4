"""What a caller's process may have in store, kept from the evaluation."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

_HOME = os.getpid()


@contextmanager
def undisturbed() -> Iterator[None]:
    """Leave a caller's inference mode, NumPy warnings, and the threads that a fork left behind.

    Tensors made in inference mode cannot be differentiated. Numbers that overflow are found in
    the results, and those that float32 rounds to zero do no harm. Threads of GNU OpenMP do not
    survive a fork, and torch would wait for them forever; so a process that was forked after
    this package was imported runs torch with one thread.
    """
    if os.getpid() != _HOME and torch.get_num_threads() > 1:
        torch.set_num_threads(1)
    with torch.inference_mode(False), np.errstate(all="ignore"):
        yield
