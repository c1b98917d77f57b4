"""What `graph_parallel.GraphParallelCalculator.start` starts: a process that serves."""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from pathlib import Path
from typing import Any

import torch.distributed as dist
from ase.calculators.calculator import CalculationFailed

from ase_symcalc.errors import SymCalcError
from ase_symcalc.integrations.graph_parallel import GraphParallelCalculator
from ase_symcalc.integrations.processes import join_group, loopback_only
from ase_symcalc.potential_files import load_potential


def work(settings: dict[str, Any], rank: int) -> None:
    """Evaluate with the others until process 0 closes its calculator."""
    folder, device = Path(settings["folder"]), settings["devices"][rank]
    try:
        potential = load_potential(settings["potential"], device=device, dtype=settings["dtype"])
        (folder / f"ready-{rank}").touch()
        with loopback_only():
            join_group(settings, rank)
            calc = GraphParallelCalculator(
                potential, device=device, dtype=settings["dtype"], skin=settings["skin"]
            )
        calc.serve()
    except CalculationFailed as error:
        sys.exit(f"process {rank}: {error}")
    except BaseException as error:
        if folder.exists():
            (folder / f"failed-{rank}").write_text(f"{type(error).__name__}: {error}")
        if isinstance(error, SymCalcError):
            sys.exit(f"process {rank}: {error}")
        raise
    dist.destroy_process_group()


def _end_with_process_0(folder: str) -> None:
    """Wait for the end of the standard input, which process 0 holds open."""
    while os.read(0, 1):
        pass
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(
        target=_end_with_process_0, args=(json.loads(sys.argv[1])["folder"],), daemon=True
    ).start()
    work(json.loads(sys.argv[1]), int(sys.argv[2]))
