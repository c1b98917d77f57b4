"""What 10^6 structures, or 10^6 atoms, would take on N nodes: a model of what was measured.

    python benchmarks/scale/model.py --out benchmarks/results/scale.json \
        --plot benchmarks/results/scale.png

Measured, on one machine of two cores: time per crystal that relaxes, time the driver of a screen
needs for each, time to start (`screening.py`); time per atom and step of molecular dynamics on one
core (`speed/step.py`). Counted, on two processes of LAMMPS: bytes that go from process to process
in a step (`lammps.py`); a test compares them with `exchanged`. Computed: how many ghosts a process
has, from the geometry of cubes. Not measured: how fast LAMMPS or a graph-parallel evaluation get
with more processes, because the two cores had other work. Assumed, and nowhere measured: everything
in `Cluster`, and that

- cores of a node slow each other no more than `Cluster.crowding` says;
- every process has a cube of equally many atoms of a homogeneous crystal, with ghosts within one
  cutoff and skin of its faces; layers after the first exchange rows once forwards and once
  backwards, and forces and virials of ghosts go home once;
- all that processes exchange leaves their node, and nothing is hidden behind computing;
- structures of a screen take equally long, so it ends when the last task does;
- files are read and written by the driver only, and its disk is no slower than the one here.
"""

import argparse
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "results"

SKIN = 1.0
"""Å; that of the neighbour lists of both engines"""
HOMEWARDS = 9 * 8
"""Bytes of a ghost's force and virial, in float64 whatever the network computes in"""
NODES = (1, 2, 4, 8, 16, 32, 64, 128)


@dataclass(frozen=True)
class Cluster:
    """Assumptions."""

    cores: int = 64
    """Of a node, one process on each"""
    crowding: float = 0.8
    """Share of the speed of one core alone, when all of a node's work"""
    latency: float = 5e-6
    """Seconds of one exchange of one process with its neighbours"""
    bandwidth: float = 12.5e9
    """Bytes per second into or out of a node"""


@dataclass(frozen=True)
class Screen:
    """Seconds; measured."""

    structure: float
    """Of a core, for each structure"""
    driver: float
    """Of the driver, for each structure"""
    start: float
    """Of a core, to start a worker"""
    task: int = 32
    """Structures"""


@dataclass(frozen=True)
class Dynamics:
    """A potential and a material."""

    atom: float
    """Seconds of a core, for each atom and step"""
    density: float
    """Atoms per Å³"""
    reach: float
    """Å, cutoff and skin"""
    widths: tuple[int, ...]
    """Numbers that an atom's row has before each layer but the first"""
    itemsize: int
    """Bytes of a number"""


def ghosts(n_local, density, reach):
    """Atoms within reach of a cube that holds so many: those of a process' neighbours."""
    edge = (n_local / density) ** (1 / 3)
    return density * ((edge + 2 * reach) ** 3 - edge**3)


def exchanged(n_ghosts, widths, itemsize):
    """Bytes that a process receives in one step: rows, their gradients, and what goes home."""
    return n_ghosts * (2 * sum(widths) * itemsize + HOMEWARDS)


def step_seconds(n_atoms, n_processes, dynamics, cluster):
    """Seconds of a step of molecular dynamics: computing, and exchanging."""
    if n_processes == 1:
        return n_atoms * dynamics.atom, 0.0
    local = n_atoms / n_processes
    on_node = min(n_processes, cluster.cores)
    compute = local * dynamics.atom / _speed(on_node, cluster)
    n_ghosts = min(ghosts(local, dynamics.density, dynamics.reach), n_atoms - local)
    received = exchanged(n_ghosts, dynamics.widths, dynamics.itemsize)
    waits = (2 * len(dynamics.widths) + 1) * cluster.latency
    return compute, waits + received * on_node / cluster.bandwidth


def screen_seconds(n_structures, n_workers, measured, cluster, n_drivers=1):
    """Seconds of a screen, or of as many shards as there are drivers."""
    rate = n_workers / measured.structure * _speed(min(n_workers, cluster.cores), cluster)
    fed = n_drivers / measured.driver
    last = measured.task * measured.structure if n_workers > 1 else 0.0
    return measured.start + n_structures / min(rate, fed) + last


def most_workers(measured, cluster):
    """Workers that one driver can feed."""
    return measured.structure / measured.driver / cluster.crowding


def _speed(on_node, cluster):
    """Share of a core's speed: falls from 1 for one process on a node to that of all cores."""
    if cluster.cores == 1:
        return 1.0
    return 1 - (1 - cluster.crowding) * (on_node - 1) / (cluster.cores - 1)


def widths_of(config):
    """Widths of the rows between the layers of a network of our own, from its config.json."""
    width = config["num_channels"] * (config["lmax"] + 1) ** 2
    return (width,) * (config["num_layers"] - 1)


def predict(screen, dynamics, cluster, million=1_000_000):
    """Rows of the table, one for each number of nodes."""
    rows = []
    alone, _ = step_seconds(million, 1, dynamics, cluster)
    for nodes in NODES:
        n = nodes * cluster.cores
        compute, exchange = step_seconds(million, n, dynamics, cluster)
        rows.append(
            {
                "nodes": nodes,
                "processes": n,
                "screen_one_driver_s": screen_seconds(million, n, screen, cluster),
                "screen_driver_per_node_s": screen_seconds(million, n, screen, cluster, nodes),
                "step_ms": 1e3 * (compute + exchange),
                "exchange_share": exchange / (compute + exchange),
                "efficiency": alone / n / (compute + exchange),
                "atoms_per_process": million / n,
                "ghosts_per_atom": ghosts(million / n, dynamics.density, dynamics.reach)
                * n
                / million,
                "ns_per_day": 86400 / (compute + exchange) * 2e-6,
            }
        )
    return rows


def read_measured(results):
    """Take from the results of other benchmarks what the model needs."""
    scr = json.loads((results / "screening.json").read_text(encoding="utf-8"))
    step = json.loads((results / "step.json").read_text(encoding="utf-8"))
    large = max(
        (row for row in step["sizes"] if row["threads"] == 1 and row["dtype"] == "float32"),
        key=lambda row: row["atoms"],
    )
    screen = Screen(
        structure=1e-3 * scr["scaling"]["one"]["cpu_ms"],
        driver=1e-3 * scr["memory"]["driver_cpu_ms"],
        start=scr["overhead"]["processes, 1"]["workers_cpu_s"],
    )
    potential = Path(__file__).parents[2] / "potentials" / "metals-preview" / "config.json"
    config = json.loads(potential.read_text(encoding="utf-8"))
    silicon = 8 / 5.43**3  # what step.py runs on
    dynamics = Dynamics(
        1e-6 * large["cpu_us_per_atom"], silicon, config["cutoff"] + SKIN, widths_of(config), 4
    )
    return screen, dynamics


def draw(rows, path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    nodes = [row["nodes"] for row in rows]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for name, words in (
        ("screen_one_driver_s", "one driver"),
        ("screen_driver_per_node_s", "a shard on each node"),
    ):
        left.loglog(nodes, [row[name] / 60 for row in rows], "o-", label=words)
    left.set(xlabel="nodes", ylabel="minutes", title="$10^6$ crystals relaxed (model)")
    left.legend()
    right.loglog(nodes, [row["step_ms"] for row in rows], "o-", label="step")
    shares = [row["step_ms"] * row["exchange_share"] for row in rows]
    right.loglog(nodes, shares, "o--", label="of it, exchange")
    right.set(xlabel="nodes", ylabel="ms", title="$10^6$ atoms, one step (model)")
    right.legend()
    for axes in (left, right):
        axes.set_xticks(nodes, labels=[str(n) for n in nodes])
        axes.minorticks_off()
        axes.yaxis.set_major_formatter("{x:g}")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def table(rows):
    lines = [
        "| nodes | processes | 10^6 crystals, one driver | a shard on each node | "
        "step of 10^6 atoms | of it exchange | efficiency |",
        "|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        one, many = (row[name] / 60 for name in ("screen_one_driver_s", "screen_driver_per_node_s"))
        lines.append(
            f"| {row['nodes']} | {row['processes']} | {one:.3g} min | {many:.3g} min | "
            f"{row['step_ms']:.3g} ms | {100 * row['exchange_share']:.0f} % | "
            f"{100 * row['efficiency']:.0f} % |"
        )
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args()
    cluster = Cluster()
    screen, dynamics = read_measured(RESULTS)
    rows = predict(screen, dynamics, cluster)
    print(table(rows))
    edge = math.ceil(most_workers(screen, cluster))
    print(
        f"one driver feeds {edge} workers; a ghost costs "
        f"{exchanged(1, dynamics.widths, dynamics.itemsize)} bytes for each step"
    )
    if args.out:
        record = {
            "assumed": asdict(cluster),
            "measured": {"screen": asdict(screen), "dynamics": asdict(dynamics)},
            "most_workers_of_a_driver": edge,
            "rows": rows,
        }
        args.out.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    if args.plot:
        draw(rows, args.plot)


if __name__ == "__main__":
    main()
