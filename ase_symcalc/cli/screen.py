"""``symcalc screen``: the same work on many structures, resumed where it was stopped."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ase_symcalc.cli.options import add_talk_options
from ase_symcalc.cli.stopping import INTERRUPTED

if TYPE_CHECKING:
    from ase_symcalc.cli.progress import Progress
    from ase_symcalc.screening import Places, Tally

SOME_FAILED = 1

UNIQUE = 1e-3
"""Distance of structures that are the same, as `ase_symcalc.analysis.deduplicate` has it."""


def add_parser(subparsers: Any) -> None:
    """Add the command to those of ``symcalc``."""
    parser = subparsers.add_parser(
        "screen",
        help="relax (eos, elastic, ...) many structures in parallel, into one file",
        description="Do the same work on every structure of the inputs, and keep the results in "
        "one file. Run again, and only what is missing is done: after Ctrl-C, a crash, a power "
        "cut, or with more inputs. Exit code 1 means that some structures failed or did not "
        "converge. See also screen-status, screen-merge and screen-export.",
    )
    parser.add_argument(
        "inputs",
        nargs="+",
        type=Path,
        metavar="INPUT",
        help="a folder of files, a file with one or many structures, an ASE database (.db), or a "
        "list of files (.csv)",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="STORE.sqlite", help="results")
    parser.add_argument(
        "--work",
        choices=("relax", "eos", "elastic", "phonons", "uncertainty"),
        default="relax",
        help="what to do (default: relax); eos, elastic and phonons relax first",
    )
    parser.add_argument(
        "--potential", default="default", help="name or folder; see `symcalc potentials`"
    )
    parser.add_argument("--dtype", choices=("float64", "float32"), default="float64")
    parser.add_argument(
        "--fmax", type=float, default=0.01, help="as for `symcalc relax` (default: 0.01 eV/Å)"
    )
    parser.add_argument("--no-cell", action="store_true", help="keep the cells fixed")
    parser.add_argument(
        "--max-steps", type=int, default=500, metavar="N", help="of a relaxation (default: 500)"
    )
    parser.add_argument(
        "--valid",
        action="store_true",
        help="leave out structures that cannot be one: atoms closer than 0.6 of the sum of their "
        "covalent radii, or a volume beyond 3 to 200 Å³ per atom",
    )
    parser.add_argument(
        "--unique",
        action="store_true",
        help="leave out structures that are the same as an earlier one but for rotation, mirror, "
        "order of the atoms, origin, cell or supercell",
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=600.0,
        metavar="S",
        help="seconds for each structure; then it is tried once more (default: 600)",
    )
    parser.add_argument("--retry-failed", action="store_true", help="try earlier failures again")
    _add_where(parser)
    add_talk_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Screen; 0 if every structure was done, 1 if not, 130 when stopped by Ctrl-C."""
    from ase_symcalc.cli.progress import Progress
    from ase_symcalc.errors import InputError
    from ase_symcalc.screening import Bounds, Store, Work, expected_count, read_items, screen

    if args.out.resolve() in {path.resolve() for path in args.inputs}:
        raise InputError(f"{args.out} is an input, which is never overwritten; choose another name")
    if args.out.parent.resolve() in {path.resolve() for path in args.inputs}:
        raise InputError(f"{args.out} would be in a folder that is read; put it somewhere else")
    items = read_items(args.inputs)
    work = Work(
        args.work,
        potential=args.potential,
        dtype=args.dtype,
        fmax=args.fmax,
        cell=not args.no_cell,
        max_steps=args.max_steps,
        bounds=Bounds() if args.valid else None,
        unique=UNIQUE if args.unique else None,
    )
    total = expected_count(args.inputs)
    latest: list[Tally] = []
    with Store(args.out, write=True) as store, Progress(quiet=args.quiet) as progress:

        def show(tally: Tally) -> None:
            latest[:] = [tally]
            _show(progress, tally, total)

        try:
            with _places(args) as (executor, n_workers):
                tally = screen(
                    items,
                    store,
                    work,
                    n_workers=n_workers,
                    threads=max(1, (os.cpu_count() or 1) // n_workers),
                    executor=executor,
                    timeout=args.timeout,
                    shard=args.shard,
                    retry_failed=args.retry_failed,
                    on_progress=show,
                )
        except KeyboardInterrupt:
            done = latest[0].done if latest else 0
            progress.say(
                f"stopped; {done} results of this run are in {args.out}. `{args.command_line}` "
                "does what is missing"
            )
            return INTERRUPTED
        for sentence in tally.warnings:
            progress.say(f"symcalc screen: warning: {sentence}")
    _summary(args, tally)
    bad = tally.failures + tally.statuses.get("not_converged", 0)
    return SOME_FAILED if bad else 0


def _add_where(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workers",
        type=_positive,
        metavar="N",
        help="processes (default: one for each core); with --scheduler, tasks in its hands "
        "(default: two for each thread of its workers)",
    )
    parser.add_argument(
        "--shard",
        type=_shard,
        default=(1, 1),
        metavar="K/N",
        help="do the K-th of N parts, for job arrays: each with a store of its own, to be merged",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--dask", action="store_true", help="on a Dask cluster on this machine")
    where.add_argument(
        "--scheduler", metavar="ADDRESS", help="on the workers of a Dask scheduler, tcp://..."
    )
    where.add_argument(
        "--slurm",
        type=Path,
        metavar="JOBS.toml",
        help="in jobs of SLURM: a file with jobs, cores, memory (of each), and if need be "
        "walltime, queue, account, interface, host, directives, prologue",
    )


def _places(args: argparse.Namespace) -> AbstractContextManager[Places]:
    """Where tasks run, and how many at a time."""
    from ase_symcalc.screening import Places, clusters

    cores = os.cpu_count() or 1
    if args.dask:
        return clusters.local(args.workers or cores)
    if args.scheduler is not None:
        return clusters.at(args.scheduler, args.workers)
    if args.slurm is not None:
        return clusters.slurm(clusters.read_slurm_jobs(args.slurm))
    return nullcontext(Places(None, args.workers or cores))


def _show(progress: Progress, tally: Tally, total: int | None) -> None:
    rate = tally.done / tally.seconds if tally.seconds > 0 else 0.0
    words = f"{tally.done} done, {tally.failures} failed, {rate:.2g}/s"
    if tally.known:
        words += f", {tally.known} known"
    if tally.restarts:
        words += f", {tally.restarts} workers lost"
    if total:
        progress.bar(tally.settled, total, words)
    else:
        progress.update(words)


def _summary(args: argparse.Namespace, tally: Tally) -> None:
    import json

    record = {
        "store": str(args.out),
        "read": tally.read,
        "known": tally.known,
        "other_shards": tally.elsewhere,
        "done": tally.done,
        "statuses": dict(sorted(tally.statuses.items())),
        "workers_lost": tally.restarts,
        "seconds": round(tally.seconds, 3),
    }
    if args.json:
        print(json.dumps(record))
    elif not args.quiet:
        ends = ", ".join(f"{n} {status}" for status, n in record["statuses"].items())  # type: ignore[attr-defined]
        print(
            f"{tally.read} structures read, {tally.known} known already, {tally.done} worked on"
            f"{f' ({ends})' if ends else ''}; results in {args.out}"
        )
        if tally.failures:
            print(
                f"`symcalc screen-status {args.out} --failed` says why some failed; --retry-failed "
                "tries them again",
                file=sys.stderr,
            )


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, got {text!r}")
    return int(text)


def _shard(text: str) -> tuple[int, int]:
    k, slash, n = text.partition("/")
    if not (slash and k.isdecimal() and n.isdecimal() and 1 <= int(k) <= int(n)):
        raise argparse.ArgumentTypeError(f"expected K/N with 1 <= K <= N, as 2/8; got {text!r}")
    return int(k), int(n)
