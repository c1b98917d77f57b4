"""The same networks through SymCalc and through their own packages' ASE calculators.

    python benchmarks/speed/peers.py --out peers.json

SevenNet-0 against sevenn, and a MACE of the published medium size (random weights) against
mace-torch and symmetrix-xl: energy, forces and stress of one structure, atoms moved before every
call, the same for all. Each engine runs in a process and an environment of its own; the latter
are made once, in --environments, with what pip finds (set PIP_EXTRA_INDEX_URL to
https://download.pytorch.org/whl/cpu for torch's CPU build where that is not the default). The
processes take turns, so that a ratio is of times taken side by side; before that their answers
are compared. symmetrix-xl compiles C++, for minutes, when it first loads a model: --prepare does
that and makes the environments, so that the measurement itself is undisturbed.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from _engine import structures
from _environments import UnavailableError, checkpoint, default_folder, python_of

sys.path.insert(0, str(Path(__file__).parents[1]))
from _timing import about, interleaved

OURS = "ase_symcalc"
NETWORKS = {"SevenNet-0": ("float32",), "MACE medium": ("float32", "float64")}
ENGINES = {
    "SevenNet-0": (OURS, "sevenn"),
    "MACE medium": (OURS, "mace-torch", "symmetrix-xl"),
}
LARGEST = {"float32": 512, "float64": 216}  # atoms; more would take the peers minutes
TOLERANCE = 0.01  # of the largest force


class Engine:
    """A process that calculates when asked."""

    def __init__(self, name, python, checkpoint, dtype, threads):
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONWARNINGS": "ignore"}
        if name == "symmetrix-xl":  # as it advises on its standard error
            environment |= {"OMP_PROC_BIND": "spread", "OMP_PLACES": "threads"}
            environment |= {"SYMMETRIX_JIT_CACHE": str(checkpoint.parent / "compiled")}
        script = str(Path(__file__).with_name("_engine.py"))
        self.name = name
        self.process = subprocess.Popen(
            [str(python), script, name, str(checkpoint), dtype, str(threads)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def answer(self):
        """The next answer.

        Raises
        ------
        UnavailableError
            If the engine does not start or dies.
        """
        line = self.process.stdout.readline()
        reply = json.loads(line) if line else {"error": "its process ended"}
        if "error" in reply:
            raise UnavailableError(f"{self.name} is left out: {reply['error'].splitlines()[0]}")
        return reply

    def ask(self, **request):
        time.sleep(0.01)  # threads of the one that was asked before stop spinning
        print(json.dumps(request), file=self.process.stdin, flush=True)
        return self.answer()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def measure(network, dtype, threads, args):
    """All structures with all engines that can be had."""
    engines, skipped = {}, []
    for name in ENGINES[network]:
        with noted(skipped):
            file = checkpoint(args.environments, network, name)
            python = sys.executable if name == OURS else python_of(args.environments, name)
            engines[name] = Engine(name, python, file, dtype, threads)
    about_engines = {}
    for name, engine in list(engines.items()):
        with noted(skipped):
            about_engines[name] = engine.answer()
        if name not in about_engines:
            engines.pop(name).close()
    cases = [
        compare(engines, about_engines, name, args)
        for name, atoms in structures().items()
        if len(atoms) <= LARGEST[dtype] and args.only in name and len(engines) > 1
        if OURS in engines and not args.prepare
    ]
    for engine in engines.values():
        engine.close()
    for sentence in skipped:
        print(sentence)
    settings = {"network": network, "dtype": dtype, "threads": threads}
    return settings | {"engines": about_engines, "structures": cases, "skipped": skipped}


@contextmanager
def noted(skipped):
    """Go on without an engine that cannot be had."""
    try:
        yield
    except UnavailableError as error:
        skipped.append(str(error))


def compare(engines, about_engines, structure, args):
    """Check that the engines agree on a structure, then time them."""
    first = {n: e.ask(structure=structure, call=0, results=True) for n, e in engines.items()}
    row = {"name": structure, "atoms": first[OURS]["atoms"], "edges": first[OURS]["edges"]}
    row["differences"] = differences(structure, first)
    row["memory"] = {
        name: {
            "growth_mib": reply["peak"] - about_engines[name]["resident"],
            "call_mib": reply["peak"] - reply["resident"],
            "first_call": reply["wall"],
        }
        for name, reply in first.items()
    }
    numbers = {name: iter(range(1, 1_000_000)) for name in engines}

    def once(name):
        reply = engines[name].ask(structure=structure, call=next(numbers[name]))
        return reply["wall"], reply["cpu"]

    calls = {name: partial(once, name) for name in engines}
    options = {"seconds": args.seconds, "warm_up": 0, "least": 3}
    row["times"] = interleaved(calls, clock=lambda call: call(), **options)
    ours = row["times"][OURS]
    row["ratios"] = {
        name: {clock: times[clock] / ours[clock] for clock in ("wall", "cpu")}
        for name, times in row["times"].items()
        if name != OURS
    }
    show(row)
    return row


def differences(structure, replies):
    """Largest differences from SymCalc's answers, eV/atom, eV/Å and eV/Å³."""
    ours, found = replies[OURS], {}
    largest = np.abs(ours["forces"]).max()
    for name in replies.keys() - {OURS}:
        theirs = replies[name]
        forces, stress = (
            float(np.abs(np.subtract(theirs[key], ours[key])).max()) for key in ("forces", "stress")
        )
        energy = abs(theirs["energy"] - ours["energy"]) / ours["atoms"]
        if forces > TOLERANCE * max(largest, 0.1):
            raise SystemExit(f"{structure}: forces of {name} differ by {forces:.1e} eV/Å")
        found[name] = {
            "energy": energy,
            "forces": forces,
            "stress": stress,
            "largest_force": float(largest),
        }
    return found


def show(row):
    for name, times in row["times"].items():
        text = f"  {row['name']:20}{name:14}{1e3 * times['wall']:10.1f} ms"
        text += f"{1e3 * times['cpu']:10.1f} CPU-ms"
        text += f"{row['memory'][name]['growth_mib']:8.0f} MiB {times['repeats']:5} times"
        if name != OURS:
            text += f"{row['ratios'][name]['wall']:7.1f} x wall {row['ratios'][name]['cpu']:7.1f} x"
            text += f" CPU, forces within {row['differences'][name]['forces']:.0e} of "
            text += f"{row['differences'][name]['largest_force']:.1g} eV/Å"
        print(text, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--environments", type=Path, default=default_folder())
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--dtypes", nargs="+", default=["float32", "float64"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--seconds", type=float, default=4.0, help="for each structure")
    parser.add_argument("--only", default="", help="part of a structure's name")
    parser.add_argument("--prepare", action="store_true", help="start every engine, time none")
    parser.add_argument("--out", help="write the numbers as JSON")
    args = parser.parse_args()
    args.environments = args.environments.absolute()
    runs = []
    for network in args.networks:
        for dtype in NETWORKS[network]:
            for threads in args.threads if dtype in args.dtypes else ():
                print(f"{network}, {dtype}, {threads} threads", flush=True)
                runs.append(measure(network, dtype, threads, args))
    if args.out:
        settings = {"seconds": args.seconds}
        result = about(settings=settings, runs=runs)
        Path(args.out).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
