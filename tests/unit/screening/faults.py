"""Work that fails as the label of a structure says, in a real worker process."""

import os
import signal
import sys
import time
from pathlib import Path

from ase import Atoms

from ase_symcalc.screening import Item, Store, Work, screen
from ase_symcalc.screening import screen as driver
from ase_symcalc.screening.work import outcome


def item(number, label="good"):
    """One atom in a box whose size tells it from others."""
    return Item(f"{label}-{number}", Atoms("Cu", cell=[3 + number / 100] * 3, pbc=True))


def run_task(work, items):
    """Stand for the work; leave a line for every structure that is begun."""
    log = Path(work.potential)
    outcomes = []
    for key, each in items:
        with log.open("a") as lines:
            lines.write(f"{each.label}\n")
        kind = each.label.partition("-")[0]
        if kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "hang":
            time.sleep(600)
        if kind == "nap":
            time.sleep(2)
        if kind == "once" and log.read_text().count(f"{each.label}\n") == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "slow":
            time.sleep(0.1)
        outcomes.append(outcome(key, each, work, "done", results={"pid": os.getpid()}))
    return outcomes, []


def run(items, store, log, **options):
    """Screen with this work instead of ours."""
    module = sys.modules[driver.__module__]
    work = Work(potential=str(log), digest="none")
    kept = module.run_task, module.settled
    module.run_task, module.settled = run_task, lambda work: work
    try:
        return screen(items, store, work, **options)
    finally:
        module.run_task, module.settled = kept


def main():
    """Screen many slow structures, to be killed on the way."""
    folder = Path(sys.argv[1])
    with Store(folder / "store.sqlite", write=True) as store:
        run(map(slow, range(200)), store, folder / "log", chunk=2)


def slow(number):
    return item(number, "slow")


if __name__ == "__main__":
    from tests.unit.screening.faults import main as importable

    importable()
