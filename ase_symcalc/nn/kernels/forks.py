"""A lock that no forked process inherits closed."""

import os
import threading
from contextlib import AbstractContextManager


def lock_for_forks() -> AbstractContextManager[object]:
    """Lock that a fork waits for, so that what it guards is whole in the child.

    A child has the memory of all threads and only the one that forked: a lock of another would
    stay closed, and what that one was about to write would stay half done. For modules, not for
    objects: it is never freed.
    """
    lock = threading.RLock()
    if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
        os.register_at_fork(
            before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release
        )
    return lock
