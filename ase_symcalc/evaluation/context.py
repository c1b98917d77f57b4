"""What a caller's process may have in store, kept from the evaluation."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

_HOME = os.getpid()


@contextmanager
def undisturbed() -> Iterator[None]:
    """Leave a caller's modes, NumPy warnings, and the threads that a fork left behind.

    Tensors made in inference mode cannot be differentiated, nor those be read that torch's
    default device put elsewhere. Numbers that overflow are found in the results, and those that
    float32 rounds to zero do no harm. Threads of GNU OpenMP do not survive a fork, and torch
    would wait for them forever; so a process that was forked after this package was imported
    runs torch with one thread.
    """
    with torch.inference_mode(False), torch.device("cpu"), without_warnings():
        yield


@contextmanager
def without_warnings() -> Iterator[None]:
    """As `undisturbed`, for what makes no tensors; its modes slow down every look at one."""
    if os.getpid() != _HOME and torch.get_num_threads() > 1:
        torch.set_num_threads(1)
    with np.errstate(all="ignore"):
        yield
