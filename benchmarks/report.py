"""Tables and plots of the speed results, written into the README between markers.

    python benchmarks/report.py

Reads peers.json, step.json and convolution.json of --results, those that are there, and leaves
everything outside of ``<!-- name -->`` and ``<!-- /name -->`` as it is.
"""

import argparse
import json
import re
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

HERE = Path(__file__).parent
OURS = "ase_symcalc"
NAMES = {OURS: "SymCalc"}
COLOURS = {OURS: "C0", "sevenn": "C1", "mace-torch": "C3", "symmetrix-xl": "C2"}
PACKAGES = ("sevenn", "mace-torch", "symmetrix-xl")
OVERHEAD = "ASE and Python"
UNITS = ("energy", "forces", "stress")


def table(head, rows):
    """Markdown: the first column to the left, numbers to the right."""
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def number(value):
    """Two or three digits that count."""
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def origin(result, extra=()):
    """Where a result comes from."""
    versions = [f"{name} {version}" for name, version in result["versions"].items()]
    return f"{result['machine']}; {', '.join([*versions, *extra])}."


# --- the peers ------------------------------------------------------------------------


def peers(result):
    """Ratios by network, precision, threads and structure."""
    installed = {
        f"{name} {engine['versions'][name]}"
        for run in result["runs"]
        for name, engine in run["engines"].items()
        if name in PACKAGES
    }
    parts = [origin(result, sorted(installed))]
    for network in dict.fromkeys(run["network"] for run in result["runs"]):
        runs = [run for run in result["runs"] if run["network"] == network]
        others = [name for name in PACKAGES if any(name in run["engines"] for run in runs)]
        head = ["", "precision", "threads", "atoms", "SymCalc, ms/atom"]
        head += [f"{name}, wall (CPU)" for name in others]
        rows = [
            [row["name"], run["dtype"], run["threads"], row["atoms"], per_atom(row, OURS, "wall")]
            + [ratio(row, name) for name in others]
            for run in runs
            for row in in_order(run["structures"])
        ]
        parts += [f"### {network}", table(head, rows)]
    sentences = {sentence for run in result["runs"] for sentence in run["skipped"]}
    return "\n\n".join([*parts, *sorted(sentences)])


def per_atom(row, name, clock):
    return number(1e3 * row["times"][name][clock] / row["atoms"])


def ratio(row, name):
    """How many times longer a peer takes."""
    if name not in row["ratios"]:
        return "–"
    wall, cpu = (number(row["ratios"][name][clock]) for clock in ("wall", "cpu"))
    return f"{wall} × ({cpu} ×)"


def in_order(structures):
    """By material and size; they were measured in the order that suits the memory."""
    return sorted(structures, key=lambda row: (row["name"].split()[0], row["atoms"], row["name"]))


def agreement(result):
    """Largest differences of the answers, over all structures."""
    found = {}
    for run in result["runs"]:
        for row in run["structures"]:
            for name, values in row["differences"].items():
                found.setdefault((run["network"], name, run["dtype"]), []).append(values)
    head = ["", "engine", "precision", "energy, meV/atom", "force, meV/Å", "stress, meV/Å³"]
    rows = [
        [*key, *[f"{1e3 * max(v[what] for v in values):.1g}" for what in UNITS]]
        for key, values in found.items()
    ]
    return table(head, rows)


def memory(result):
    """What a process grows by for the largest structure, one thread."""
    rows = []
    for run in result["runs"]:
        if run["threads"] != 1 or not run["structures"]:
            continue
        row = max(run["structures"], key=lambda row: row["atoms"])
        for name, used in row["memory"].items():
            where = (run["network"], NAMES.get(name, name), run["dtype"], row["atoms"])
            kib, ours = 1024 * used["call_mib"], row["memory"][OURS]
            sizes = (used["growth_mib"], used["call_mib"], kib / row["atoms"])
            times = number(used["growth_mib"] / ours["growth_mib"])
            times += f" × ({number(used['call_mib'] / ours['call_mib'])} ×)"
            rows.append([*where, *map(number, sizes), number(1024 * kib / row["edges"]), times])
    grown = ["since loading, MiB", "since 8 atoms, MiB", "KiB/atom", "B/edge", "of SymCalc's"]
    head = ["", "engine", "precision", "atoms", *grown]
    return table(head, rows)


def plot_peers(result, path):
    """Time per atom by the number of atoms, float32."""
    runs = [run for run in result["runs"] if run["dtype"] == "float32" and run["structures"]]
    networks = list(dict.fromkeys(run["network"] for run in runs))
    figure, panels = plt.subplots(
        1, len(networks), figsize=(4.4 * len(networks), 3.6), sharey=True, squeeze=False
    )
    for panel, network in zip(panels[0], networks, strict=True):
        for run in (run for run in runs if run["network"] == network):
            silicon = [r for r in in_order(run["structures"]) if r["name"].startswith("Si ")]
            style = "-" if run["threads"] > 1 else "--"
            for name in run["engines"]:
                times = [1e3 * r["times"][name]["wall"] / r["atoms"] for r in silicon]
                label = f"{NAMES.get(name, name)}, {run['threads']} thread{'s'[: style == '-']}"
                atoms = [r["atoms"] for r in silicon]
                panel.loglog(atoms, times, style, marker="o", c=COLOURS[name], label=label, ms=4)
        panel.set(title=network, xlabel="atoms of Si")
        _sizes(panel, [8, 64, 216, 512])
        panel.legend(fontsize=7, frameon=False)
    panels[0][0].set_ylabel("ms per atom: energy, forces, stress")
    _save(figure, path)


# --- a step of MD ---------------------------------------------------------------------


def step(result):
    """Time per atom by size, precision and threads."""
    sizes = result["sizes"]
    kinds = list(dict.fromkeys(map(_kind, sizes)))
    by_kind = {(_kind(row), row["atoms"]): row for row in sizes}
    rows = [
        [atoms, *[_step_cell(by_kind.get((kind, atoms))) for kind in kinds]]
        for atoms in dict.fromkeys(row["atoms"] for row in sizes)
    ]
    start = result["first_energy"]
    text = f"First energy of a fresh process, its start and imports included: {start['wall']:.1f} s"
    text += f" ({start['cpu']:.1f} s of CPU)."
    note = "µs of wall time for each atom and step; in brackets the needed arithmetic as a share of"
    note += " the peak of a matrix product, by CPU time."
    parts = [origin(result), note, table(["atoms", *kinds], rows), text]
    return "\n\n".join(parts)


def _step_cell(row):
    if row is None:
        return "–"
    return f"{number(row['wall_us_per_atom'])} ({100 * row['of_peak']:.0f} %)"


def shares(result):
    """Where a step goes, float32, with the most threads."""
    rows = [
        [row["atoms"], *[f"{100 * s:.0f} %" for s in split(row).values()]] for row in _best(result)
    ]
    grown = [[number(row["memory_mib"]), _slope(result, row)] for row in _best(result)]
    head = ["atoms", *split(_best(result)[0]), "MiB", "KiB/atom"]
    return table(head, [a + b for a, b in zip(rows, grown, strict=True)])


def split(row):
    """Share of a step by what it is spent on."""
    hops = dict(row["share_of_hops"])
    network = hops.pop("network")
    lists = hops.pop("neighbour_pairs")
    forward = network * row["forward"]
    return {
        "neighbour list": lists,
        "forward": forward,
        "backward": network - forward,
        "to and from arrays": sum(hops.values()),
        OVERHEAD: 1 - network - lists - sum(hops.values()),
    }


def _best(result):
    threads = max(row["threads"] for row in result["sizes"])
    return [r for r in result["sizes"] if (r["dtype"], r["threads"]) == ("float32", threads)]


def _slope(result, row):
    """KiB that an atom adds, from the smallest size to this one."""
    least = _best(result)[0]
    more = row["atoms"] - least["atoms"]
    return number(1024 * (row["memory_mib"] - least["memory_mib"]) / more) if more else "–"


def _kind(row):
    return f"{row['dtype']}, {row['threads']} thread{'s'[: row['threads'] > 1]}"


def plot_step(result, path):
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6))
    for kind in dict.fromkeys(map(_kind, result["sizes"])):
        rows = [row for row in result["sizes"] if _kind(row) == kind]
        left.loglog(
            [row["atoms"] for row in rows],
            [row["wall_us_per_atom"] for row in rows],
            "-" if rows[0]["threads"] > 1 else "--",
            marker="o",
            ms=4,
            c={"float32": "C0", "float64": "C1"}[rows[0]["dtype"]],
            label=kind,
        )
    atoms = [row["atoms"] for row in _best(result)]
    left.set(xlabel="atoms of Si", ylabel="µs per atom and step of MD")
    _sizes(left, atoms)
    left.legend(fontsize=8, frameon=False)
    bottom = [0.0] * len(atoms)
    for name in split(_best(result)[0]):
        parts = [100 * split(row)[name] for row in _best(result)]
        right.bar([str(n) for n in atoms], parts, bottom=bottom, label=name)
        bottom = [a + b for a, b in zip(bottom, parts, strict=True)]
    right.set(xlabel=f"atoms of Si, {_kind(_best(result)[0])}", ylabel="% of a step", ylim=(0, 100))
    right.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    _save(figure, path)


# --- the convolution ------------------------------------------------------------------


def convolution(result):
    settings = result["settings"]
    head = ["threads", "SymCalc, ms", "e3nn, ms", "wall", "CPU"]
    rows = [
        [run["threads"]]
        + [number(1e3 * run["times"][name]["wall"]) for name in (OURS, "e3nn")]
        + [f"{number(run['ratio'][clock])} ×" for clock in ("wall", "cpu")]
        for run in result["runs"]
    ]
    text = f"{settings['edges']} edges, {settings['channels']} channels, l ≤ 1 → l ≤ 3, "
    text += f"{settings['dtype']}, forward and backward."
    return "\n\n".join([text, table(head, rows)])


# --- writing --------------------------------------------------------------------------


def _sizes(panel, atoms):
    """Write sizes and times as plain numbers."""
    low, high = panel.get_ylim()
    times = [d * 10.0**n for n in range(-4, 5) for d in (1, 2, 5) if low <= d * 10.0**n <= high]
    panel.set_xticks(atoms, [str(n) for n in atoms])
    panel.set_yticks(times, [f"{t:g}" for t in times])
    panel.minorticks_off()
    panel.grid(alpha=0.3)


def _save(figure, path):
    figure.savefig(path, dpi=110, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)


PARTS = {
    "peers": {"peers": peers, "agreement": agreement, "memory": memory},
    "step": {"step": step, "shares": shares},
    "convolution": {"convolution": convolution},
}
PLOTS = {"peers": plot_peers, "step": plot_step}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--readme", type=Path, default=HERE / "README.md")
    args = parser.parse_args()
    text = args.readme.read_text(encoding="utf-8")
    for name, parts in PARTS.items():
        source = args.results / f"{name}.json"
        if not source.exists():
            print(f"{source} is not there; its part of the README stays as it is")
            continue
        result = json.loads(source.read_text(encoding="utf-8"))
        for marker, write in parts.items():
            text = between(text, marker, write(result))
        if name in PLOTS:
            PLOTS[name](result, source.with_suffix(".png"))
    args.readme.write_text(text, encoding="utf-8")


def between(text, marker, content):
    """Replace what stands between two markers."""
    pattern = re.compile(f"(<!-- {marker} -->\n).*?(<!-- /{marker} -->)", re.DOTALL)
    if not pattern.search(text):
        raise SystemExit(f"expected <!-- {marker} --> and <!-- /{marker} --> in the README")
    return pattern.sub(lambda found: f"{found[1]}\n{content}\n\n{found[2]}", text)


if __name__ == "__main__":
    main()
