"""``symcalc neb``: the path of lowest energy from one structure to another, and its barrier."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ase_symcalc.cli.options import (
    add_calculator_options,
    add_output_options,
    calculator,
    settle_outputs,
)
from ase_symcalc.cli.stopping import INTERRUPTED, with_resume

if TYPE_CHECKING:
    from ase import Atoms

    from ase_symcalc.apps.neb_result import NebResult, NebStep
    from ase_symcalc.cli.progress import Progress

UNCONVERGED = 1


def add_parser(subparsers: Any) -> None:
    """Add the command to those of ``symcalc``."""
    parser = subparsers.add_parser(
        "neb",
        help="barrier and path between two structures",
        description="Path of lowest energy between two minima in one cell, by the climbing-image "
        "nudged elastic band. Writes results, a picture and the path. Exit code 1 means that "
        "forces were still too large when the steps ran out; --resume goes on.",
    )
    parser.add_argument(
        "files",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="two structures with the same atoms in the same order (of several images in a file, "
        "the last), or one file with two images or a whole path",
    )
    add_calculator_options(parser)
    parser.add_argument(
        "--images", type=int, metavar="N", help="to put between two ends (default: 5)"
    )
    parser.add_argument(
        "--interpolation", choices=("idpp", "linear"), help="between two ends (default: idpp)"
    )
    parser.add_argument(
        "--climb",
        action=argparse.BooleanOptionalAction,
        help="drive the highest image up to the saddle (default: yes)",
    )
    parser.add_argument(
        "--relax-ends",
        action=argparse.BooleanOptionalAction,
        help="relax both ends first, in their cell (default: yes)",
    )
    parser.add_argument(
        "--order",
        choices=("check", "nearest", "keep"),
        help="of the atoms: check that both ends list them alike, reorder by the nearest places, "
        "or keep it whatever it is (default: check)",
    )
    parser.add_argument("--fmax", type=float, help="largest force left, eV/Å (default: 0.01)")
    parser.add_argument("--max-steps", type=int, metavar="N", help="default: 500")
    parser.add_argument(
        "--optimizer", choices=("ODE", "FIRE"), help="default: ODE; FIRE is more patient"
    )
    parser.add_argument(
        "--trajectory",
        type=Path,
        metavar="FILE.traj",
        help="the path, ends included, as of the latest step (default: NAME-neb.traj)",
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on from the path in the trajectory"
    )
    add_output_options(parser, json_name="NAME-neb.json")
    parser.set_defaults(
        run=run, images=5, interpolation="idpp", climb=True, relax_ends=True, order="check",
        fmax=0.01, max_steps=500, optimizer="ODE",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Find the path; 0 when converged, 1 when not, 130 when stopped by Ctrl-C."""
    from ase_symcalc.apps.neb import neb
    from ase_symcalc.apps.neb_plot import plot_path
    from ase_symcalc.cli.neb_report import record_of, rows_of, step_in_words
    from ase_symcalc.cli.progress import Progress
    from ase_symcalc.cli.publish import publish

    images, sentences = _images(args)
    _settle(args, images[0])
    if args.resume:
        images = _resumed(args, images)
    images[0].calc = calculator(args)
    n_steps = 0
    with Progress(quiet=args.quiet) as progress:
        for sentence in sentences:
            progress.say(sentence)

        def show(step: NebStep) -> None:
            nonlocal n_steps
            n_steps += step.barrier is not None
            progress.update(step_in_words(step))

        try:
            result = neb(
                images,
                n_images=args.images,
                interpolation=args.interpolation,
                climb=args.climb,
                relax_ends=args.relax_ends,
                order=args.order,
                fmax=args.fmax,
                max_steps=args.max_steps,
                optimizer=args.optimizer,
                trajectory=args.trajectory,
                on_step=show,
            )
        except KeyboardInterrupt:
            return _stopped(args, n_steps, progress)
    record = record_of(args, images[0], result)
    title = f"{args.file.name}, {record['potential']['name']}"
    publish(
        args,
        record,
        title=f"Path of {images[0].get_chemical_formula()} ({args.file.name})",
        rows=rows_of(result),
        caption="Energy along the path: images, and cubics with the slopes that forces give",
        atoms=result.images[result.saddle],
        files=[("path", args.trajectory)],
        draw=lambda: plot_path(result, args.plot, title=title),
    )
    if not result.converged:
        print(f"symcalc neb: {_what_to_try(args, result)}", file=sys.stderr)
        return UNCONVERGED
    return 0


def _images(args: argparse.Namespace) -> tuple[list[Atoms], list[str]]:
    """Read ends or a path, and say what was taken of several images."""
    from ase_symcalc.cli.structure_files import last_image, read_images, which_was_taken
    from ase_symcalc.errors import InputError

    args.file = args.files[0]
    if len(args.files) == 1:
        images = list(read_images(args.file))
        if len(images) < 2:
            raise InputError(
                f"{args.file} holds one structure; a path needs two ends: give two files, or one "
                "with two images or more"
            )
        n = len(images)
        return images, [] if n == 2 else [f"{args.file} holds {n} images; starting from that path"]
    if len(args.files) > 2:
        raise InputError(
            f"expected two files with one end each, or one with both; got {len(args.files)}"
        )
    read = [last_image(path) for path in args.files]
    sentences = [
        sentence
        for path, (_, n) in zip(args.files, read, strict=True)
        for sentence in which_was_taken(path, n)
    ]
    return [atoms for atoms, _ in read], sentences


def _settle(args: argparse.Namespace, atoms: Atoms) -> None:
    from ase_symcalc.cli.structure_files import check_distinct, check_output, is_trajectory_name
    from ase_symcalc.errors import InputError

    settle_outputs(args, "neb", atoms)
    name = Path(f"{args.file.stem}-neb.traj")
    args.trajectory = args.trajectory or (name if is_trajectory_name(name) else Path("neb.traj"))
    if not is_trajectory_name(args.trajectory):
        raise InputError(
            "the path is written in ASE's own format; expected a name that ends in .traj and that "
            f"ASE takes for no other, got {args.trajectory}"
        )
    outputs = [args.out, args.plot, args.trajectory, *filter(None, [args.report])]
    for source in args.files:
        for path in outputs:
            check_output(path, source)
    check_distinct(outputs)


def _resumed(args: argparse.Namespace, ends: list[Atoms]) -> list[Atoms]:
    """Read the path that an earlier run left; its ends may have been relaxed."""
    from ase_symcalc.cli.structure_files import read_images
    from ase_symcalc.errors import InputError

    if not args.trajectory.is_file():
        raise InputError(
            f"--resume goes on from the path in {args.trajectory}, which does not exist; leave "
            "--resume out, or name it with --trajectory"
        )
    path = list(read_images(args.trajectory))
    if len(path) < 3 or sorted(path[0].numbers) != sorted(ends[0].numbers):
        raise InputError(
            f"{args.trajectory} holds no path of these structures: {len(path)} images of "
            f"{path[0].get_chemical_formula()}; name another with --trajectory, or leave --resume "
            "out"
        )
    return path


def _stopped(args: argparse.Namespace, n_steps: int, progress: Progress) -> int:
    if n_steps == 0:
        progress.say("stopped while the ends were being relaxed; nothing was written")
    else:
        progress.say(f"stopped; the path is in {args.trajectory}. To go on: {with_resume(args)}")
    return INTERRUPTED


def _what_to_try(args: argparse.Namespace, result: NebResult) -> str:
    what = f"the largest force on the path is {result.fmax:.4f} eV/Å"
    if result.fmax < args.fmax:
        what = result.warnings[0]  # about an end
    advice = (
        f"not converged after {result.steps} steps: {what}; it must fall below {args.fmax:g}. The "
        f"path is in {args.trajectory}; go on with `{with_resume(args)}`, raise --max-steps, or "
        "try --optimizer FIRE or more --images"
    )
    if args.dtype == "float32":
        advice += "; float32 may be too coarse for this fmax, float64 is not"
    return advice
