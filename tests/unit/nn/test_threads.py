"""Tasks shared among threads."""

import signal
import threading
import time

import pytest

from ase_symcalc.nn.kernels.threads import run_tasks


def test_after_an_interruption_no_task_runs_any_more(threads):
    threads(2)
    run_tasks([lambda: time.sleep(0.01)] * 4)  # both threads are awake
    begun, done = [], []

    def task():
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt
        begun.append(1)
        time.sleep(0.2)
        done.append(1)

    with pytest.raises(KeyboardInterrupt):
        run_tasks([task] * 20)
    assert begun == done
    time.sleep(0.25)
    assert begun == done


def test_an_interruption_while_it_waits_for_the_others(threads):
    threads(2)
    done = []

    def task():
        time.sleep(0.02)
        if threading.current_thread() is not threading.main_thread():
            time.sleep(0.3)
            done.append(1)

    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.15)
        with pytest.raises(KeyboardInterrupt):
            run_tasks([task] * 2)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert done


def test_an_error_in_a_task_is_raised(threads):
    threads(2)

    def task():
        time.sleep(0.01)
        raise MemoryError

    with pytest.raises(MemoryError):
        run_tasks([task] * 4)
