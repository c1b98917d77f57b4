"""One page that says what was computed, with what, and how to do it again."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any

from ase import Atoms

from ase_symcalc.apps.record import write_whole
from ase_symcalc.apps.structure_plot import plot_structure

KINDS = {".png": "image/png", ".svg": "image/svg+xml"}

# a browser that keeps to the policy loads nothing from anywhere
HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ max-width: 50rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; background: #fff;
  font: 16px/1.5 "Source Sans 3", "Segoe UI", "Helvetica Neue", Arial, sans-serif; }}
h1 {{ font-size: 1.7rem; line-height: 1.2; margin: 0; }}
h2 {{ font-size: 1.15rem; margin: 2rem 0 .5rem; border-bottom: 1px solid #ccc; }}
p {{ margin: .5rem 0; }}
.below-title {{ color: #555; }}
.warning {{ border-left: 5px solid #d55e00; background: #fdf1e8; padding: .5rem 1rem; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ text-align: left; vertical-align: top; padding: .2rem .8rem .2rem 0;
  border-bottom: 1px solid #e6e6e6; overflow-wrap: anywhere; white-space: pre-line; }}
th {{ font-weight: normal; color: #555; width: 13rem; }}
td {{ font-variant-numeric: tabular-nums; }}
td.columns {{ font-family: monospace; font-size: .85rem; white-space: pre; overflow-x: auto; }}
figure {{ margin: 1rem 0; text-align: center; }}
figure img {{ max-width: 100%; max-height: 60rem; }}
figcaption {{ color: #555; font-size: .9rem; }}
pre {{ background: #f5f5f5; padding: .6rem .8rem; font-size: .85rem;
  white-space: pre-wrap; overflow-wrap: anywhere; }}
@media print {{
  body {{ max-width: none; margin: 0; font-size: 10.5pt; }}
  figure, tr, .warning {{ break-inside: avoid; }}
  h2 {{ break-after: avoid; }}
  details {{ display: none; }}
}}
</style>
</head>
<body>
"""


def write_report(
    path: str | Path,
    *,
    title: str,
    record: Mapping[str, Any],
    atoms: Atoms,
    pictures: Sequence[tuple[str, Path]],
    table: Sequence[tuple[str, str]],
    command_line: str,
) -> None:
    """Write one HTML file that needs no other file and no network.

    Parameters
    ----------
    path : path
    title : str
        What was done to what.
    record : mapping
        As `apps.record.make_record` returns it.
    atoms : Atoms
        Drawn near the top.
    pictures : sequence of (str, Path)
        Captions, and PNG or SVG files, which are copied into the page.
    table : sequence of (str, str)
        Quantities with their units, and their values, which may have several lines.
    command_line : str
        What does it again.

    Raises
    ------
    OSError
        If a picture cannot be read or the page cannot be written; it is written whole or not
        at all.
    """
    potential = record["potential"]
    members = potential.get("members", [potential])
    parts = [
        HEAD.format(title=escape(title)),
        f"<h1>{escape(title)}</h1>",
        _paragraph(_below_title(members, record["versions"]), kind="below-title"),
        *(_paragraph(text, kind="warning") for text in record["warnings"]),
        "<h2>Structure</h2>",
        _drawing(atoms),
        _table(_structure_rows(record, atoms)),
        "<h2>Results</h2>",
        _table(table),
        *(_picture(caption, source) for caption, source in pictures),
        *(part for member in members for part in _potential(member)),
        "<h2>How to do it again</h2>",
        f"<pre>{escape(command_line)}</pre>",
        _table(_words(record["settings"])),
        _paragraph("Versions: " + ", ".join(f"{n} {v}" for n, v in record["versions"].items())),
        "<details><summary>The whole record</summary>",
        f"<pre>{escape(json.dumps(record, indent=2, ensure_ascii=False))}</pre></details>",
        "</body>\n</html>\n",
    ]
    write_whole(path, "\n".join(parts))


def _below_title(members: Sequence[Mapping[str, Any]], versions: Mapping[str, str]) -> str:
    names = " and ".join(f"{each['name']} {each.get('version', '')}".strip() for each in members)
    return f"With {names}, by ase_symcalc {versions['ase_symcalc']}"


def _structure_rows(record: Mapping[str, Any], atoms: Atoms) -> list[tuple[str, str]]:
    structure = record["structure"]
    rows = [("formula", structure["formula"]), ("atoms", str(structure["n_atoms"]))]
    if atoms.cell.rank == 3:
        cell = atoms.cell.cellpar()
        rows.append(("a, b, c / Å", ", ".join(f"{length:.4f}" for length in cell[:3])))
        rows.append(("α, β, γ / °", ", ".join(f"{angle:.3f}" for angle in cell[3:])))
    periodic = [name for name, repeats in zip("abc", structure["pbc"], strict=True) if repeats]
    rows.append(("repeats along", ", ".join(periodic) or "nothing"))
    if structure["space_group"]:
        rows.append(("space group as given", structure["space_group"]))
    if last := record["last_evaluation"]:
        rows.append(("symmetry used", _symmetry(**last)))
    return [*rows, ("SHA-256 as given", structure["sha256"])]


def _symmetry(n_atoms: int, n_orbits: int, n_operations: int) -> str:
    if n_operations == 1:
        return "none in the last evaluation"
    return f"{n_operations} operations, {n_orbits} of {n_atoms} atoms in the last evaluation"


def _potential(member: Mapping[str, Any]) -> list[str]:
    return [f"<h2>Potential: {escape(member['name'])}</h2>", _table(_words(member))]


def _words(named: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name.replace("_", " "), _word(value)) for name, value in named.items()]


def _word(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _table(rows: Iterable[tuple[str, str]]) -> str:
    lines = [f"<tr><th>{escape(name)}</th>{_cell(value)}</tr>" for name, value in rows]
    return "\n".join(["<table>", *lines, "</table>"])


def _cell(value: str) -> str:
    """Keep numbers below each other where spaces put them there."""
    kind = ' class="columns"' if "  " in value else ""
    return f"<td{kind}>{escape(value)}</td>"


def _paragraph(text: str, *, kind: str = "") -> str:
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def _drawing(atoms: Atoms) -> str:
    content = BytesIO()
    plot_structure(atoms, content)
    return _figure("", KINDS[".png"], content.getvalue())


def _picture(caption: str, source: Path) -> str:
    return _figure(caption, KINDS[source.suffix], source.read_bytes())


def _figure(caption: str, kind: str, content: bytes) -> str:
    source = f"data:{kind};base64,{b64encode(content).decode()}"
    words = f"\n<figcaption>{escape(caption)}</figcaption>" if caption else ""
    alt = escape(caption or "the structure")
    return f'<figure>\n<img src="{source}" alt="{alt}">{words}\n</figure>'
