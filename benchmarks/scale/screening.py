"""What a screen costs beside the work itself, and how it scales on the cores there are.

    python benchmarks/scale/screening.py --out benchmarks/results/screening.json

Overhead: tasks that do nothing, one structure each, on processes of our own and on Dask; seconds
from the call to the first result, and milliseconds for each further one. Driver: CPU time of the
process that reads, keys, hands out and writes, for each structure, which bounds how many workers
one screen can feed. Scaling: crystals of `batches.py` relaxed by one and by two processes, the
same number of them (strong) and twice as many (weak); wall time between the first and the last
result, which is all one needs on a quiet machine, and CPU time of the workers for each structure
less that of starting them, which says on a busy one how much two processes are in each other's
way. Memory: resident memory of the driver while it reads 10^5 structures of one file lazily.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from ase.build import bulk
from ase.io import write

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))
from _memory import resident
from _timing import about
from batches import crystals

from ase_symcalc.screening import Item, Store, Work, clusters, read_items, screen
from ase_symcalc.screening import screen as _screen
from ase_symcalc.screening.work import outcome, run_task

DRIVER = sys.modules[_screen.__module__]


def nothing(work, items):
    """A task that is done at once."""
    return [outcome(key, item, work, "done", results={"x": 1.0}) for key, item in items], []


def points(n):
    """Structures that differ and cost nothing to make."""
    atoms = bulk("Cu", cubic=True)
    for k in range(n):
        each = atoms.copy()
        each.positions[0, 0] = 1e-6 * k
        yield Item(str(k), each)


def timed(items, task=nothing, work=None, **options):
    """Screen with a task; returns what was measured."""
    marks = []

    def mark(tally):
        marks.append((time.perf_counter(), tally.done))

    workers = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun, cpu = time.perf_counter(), time.process_time()
    DRIVER.run_task = task
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            Store(Path(folder) / "store", write=True) as store,
        ):
            tally = screen(items, store, work, on_progress=mark, **options)
    finally:
        DRIVER.run_task = run_task
    cpu = time.process_time() - cpu
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    first, at_first = next((when, done) for when, done in marks if done)
    last, done = marks[-1]
    return {
        "done": done,
        "failures": tally.failures,
        "first_result_s": first - begun,
        "between_s": last - first,
        "per_structure_ms": 1e3 * (last - first) / max(done - at_first, 1),
        "driver_cpu_ms": 1e3 * cpu / done,
        "workers_cpu_s": after.ru_utime + after.ru_stime - workers.ru_utime - workers.ru_stime,
    }


def overheads(n):
    work = Work(digest="none")
    DRIVER.settled, kept = (lambda work: work), DRIVER.settled
    try:
        found = {}
        for n_workers in (1, 2):
            options = {"n_workers": n_workers, "chunk": 1, "work": work}
            found[f"processes, {n_workers}"] = timed(points(n), **options)
        with clusters.local(2) as (executor, n_tasks):
            options = {"executor": executor, "n_workers": n_tasks, "chunk": 1, "work": work}
            found["Dask, 2"] = timed(points(n), **options)
        options = {"n_workers": 1, "chunk": 32, "work": work}
        found["processes, 1, tasks of 32"] = timed(points(8 * n), **options)
        return found
    finally:
        DRIVER.settled = kept


def scaling(n):
    """Relaxations; the CPU time of starting a worker is that of a screen of one structure."""
    structures = [Item(str(k), atoms) for k, atoms in enumerate(crystals(2 * n))]
    work, options = Work(), {"task": run_task, "chunk": 8}
    start = timed(structures[:1], work=work, **options)["workers_cpu_s"]
    found = {"start_cpu_s": start}
    for name, count, n_workers in (("one", n, 1), ("strong", n, 2), ("weak", 2 * n, 2)):
        row = timed(structures[:count], work=work, n_workers=n_workers, **options)
        row["cpu_ms"] = 1e3 * (row["workers_cpu_s"] - n_workers * start) / count
        found[name] = row
    one = found["one"]
    for name in ("strong", "weak"):
        rates = [each["per_structure_ms"] for each in (one, found[name])]
        found[name]["wall_efficiency"] = rates[0] / rates[1] / 2
        found[name]["cpu_efficiency"] = one["cpu_ms"] / found[name]["cpu_ms"]
    return found


def memory(n):
    """MiB after each tenth of a file of n structures."""
    samples = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "many.extxyz"
        with path.open("w") as file:
            for item in points(n):
                write(file, item.atoms, format="extxyz")
        size = path.stat().st_size
        seen = 0

        def watched():
            nonlocal seen
            for seen, item in enumerate(read_items([path]), start=1):
                if seen % (n // 10) == 0:
                    samples.append(resident())
                yield item

        DRIVER.settled, kept = (lambda work: work), DRIVER.settled
        try:
            options = {"n_workers": 1, "chunk": 32, "work": Work(digest="none")}
            result = timed(watched(), **options)
        finally:
            DRIVER.settled = kept
    trend = float(np.polyfit(range(1, 10), samples[1:], 1)[0])
    return {
        "structures": n,
        "file_MiB": size / 2**20,
        "MiB": samples,
        "growth_MiB_per_tenth": trend,
        "per_structure_ms": result["per_structure_ms"],
        "driver_cpu_ms": result["driver_cpu_ms"],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, default=400)
    parser.add_argument("--crystals", type=int, default=160)
    parser.add_argument("--many", type=int, default=100_000)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    record = {"about": about(threads=1)}
    for name, measured in (
        ("overhead", lambda: overheads(args.tasks)),
        ("scaling", lambda: scaling(args.crystals)),
        ("memory", lambda: memory(args.many)),
    ):
        record[name] = measured()
        print(name, json.dumps(record[name], indent=2), flush=True)
        if args.out:
            args.out.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
