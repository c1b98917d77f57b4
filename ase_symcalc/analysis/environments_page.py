"""An interactive page about environments: one file, no network."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from ase_symcalc.analysis.environments import Environments
from ase_symcalc.analysis.environments_plot import COLOURS, group_colour

MOST_ROWS = 50

MOST_PLACES = 200_000
"""Atoms times frames in the page; of more frames, some at equal steps."""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:;
 style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; background: #fff;
  font: 16px/1.5 "Source Sans 3", "Segoe UI", "Helvetica Neue", Arial, sans-serif; }}
h1 {{ font-size: 1.5rem; }}
h2 {{ font-size: 1.1rem; margin: 1.5rem 0 .3rem; }}
.side {{ display: flex; flex-wrap: wrap; gap: 1rem; }}
canvas {{ border: 1px solid #ccc; touch-action: none; max-width: 100%; }}
#tip {{ position: fixed; display: none; background: #fff; border: 1px solid #888;
  padding: .1rem .5rem; font-size: .85rem; pointer-events: none; }}
td, th {{ text-align: left; padding: .1rem 1rem .1rem 0; vertical-align: top; }}
.dot {{ display: inline-block; width: .8em; height: .8em; border-radius: 50%; margin-right: .4em; }}
pre {{ background: #f5f5f5; padding: .5rem; white-space: pre-wrap; }}
img {{ max-width: 100%; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>Drag the structure to turn it, point at an atom or at a place on the map to see both.</p>
<p><label>Colours: <select id="by"><option>group</option><option>label</option></select></label>
<label id="frames"> Frame: <input type="range" id="frame" min="0" max="{last}" value="{last}">
<output id="number"></output></label></p>
<div class="side">
<div><h2>Structure</h2><canvas id="atoms" width="460" height="460"></canvas></div>
<div><h2>Map</h2><canvas id="map" width="460" height="460"></canvas>
<br>axes hold {first} % and {second} % of the variance</div>
</div>
<h2>Groups in the last frame</h2>
<table>{rows}</table>
{sentences}
{pictures}
<h2>How to do it again</h2>
<pre>{command}</pre>
<div id="tip"></div>
<script>
const data = {data};
{script}
</script>
</body>
</html>
"""

SCRIPT = """
const get = id => document.getElementById(id);
const atoms = get("atoms"), map = get("map"), tip = get("tip"), slider = get("frame");
let turn = [[1, 0, 0], [0, 0.2, 0.98], [0, -0.98, 0.2]], chosen = -1, drag = null, drawn = [[], []];
get("frames").style.display = data.frames.length > 1 ? "" : "none";
const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
function colour(frame, i) {
  return get("by").value === "group"
    ? data.groupColours[frame.groups[i] + 1] : data.labelColours[frame.labels[i]];
}
function disc(context, x, y, r, fill, marked) {
  context.beginPath(); context.arc(x, y, r, 0, 7); context.fillStyle = fill; context.fill();
  context.lineWidth = marked ? 3 : 0.7; context.strokeStyle = "#000"; context.stroke();
}
function draw() {
  const frame = data.frames[slider.value];
  get("number").textContent = frame.number;
  const moved = frame.positions.map(p => p.map((v, k) => v - data.centre[k]));
  const places = moved.map(p => turn.map(row => dot(row, p)));
  const scale = 210 / data.extent, r = Math.max(2, Math.min(16, scale));
  const order = places.map((_, i) => i).sort((a, b) => places[a][2] - places[b][2]);
  let context = atoms.getContext("2d");
  context.clearRect(0, 0, 460, 460);
  drawn[0] = order.map(i => [230 + scale * places[i][0], 230 - scale * places[i][1], i]);
  for (const [x, y, i] of drawn[0]) disc(context, x, y, r, colour(frame, i), i === chosen);
  context = map.getContext("2d");
  context.clearRect(0, 0, 460, 460);
  const fit = (v, k) => 20 + 420 * (v - data.low[k]) / Math.max(data.high[k] - data.low[k], 1e-12);
  drawn[1] = frame.map.map((m, i) => [fit(m[0], 0), 460 - fit(m[1], 1), i]);
  for (const [x, y, i] of drawn[1]) disc(context, x, y, 5, colour(frame, i), false);
  if (chosen < 0) return;
  const [x, y] = drawn[1][chosen];
  disc(context, x, y, 8, colour(frame, chosen), true);
}
function point(canvas, which, reach) {
  canvas.addEventListener("pointermove", event => {
    if (drag) return;
    const box = canvas.getBoundingClientRect(), zoom = 460 / box.width;
    const x = (event.clientX - box.left) * zoom, y = (event.clientY - box.top) * zoom;
    let best = reach, found = -1;
    for (const [u, v, i] of drawn[which]) {
      const d = Math.hypot(u - x, v - y);
      if (d <= best) { best = d; found = i; }
    }
    if (found !== chosen) { chosen = found; draw(); }
    tip.style.display = found < 0 ? "none" : "block";
    if (found < 0) return;
    const frame = data.frames[slider.value], group = frame.groups[found];
    const words = [group < 0 ? "no group" : `group ${group + 1}`];
    words.push(data.labelNames[frame.labels[found]]);
    if (data.orbits) words.push(`orbit ${data.orbits[found]}`);
    tip.textContent = `${data.symbols[found]} ${found}: ${words.join(", ")}`;
    tip.style.left = event.clientX + 14 + "px"; tip.style.top = event.clientY + 10 + "px";
  });
  canvas.addEventListener("pointerleave", () => {
    tip.style.display = "none"; chosen = -1; draw();
  });
}
point(atoms, 0, 14); point(map, 1, 14);
atoms.addEventListener("pointerdown", event => {
  drag = [event.clientX, event.clientY]; atoms.setPointerCapture(event.pointerId);
});
atoms.addEventListener("pointerup", () => { drag = null; });
atoms.addEventListener("pointermove", event => {
  if (!drag) return;
  const a = (event.clientX - drag[0]) / 120, b = (event.clientY - drag[1]) / 120;
  drag = [event.clientX, event.clientY];
  const [x, y, z] = turn, mix = (u, v, p, q) => u.map((w, k) => p * w + q * v[k]);
  const x2 = mix(x, z, Math.cos(a), Math.sin(a)), z2 = mix(z, x, Math.cos(a), -Math.sin(a));
  turn = [x2, mix(y, z2, Math.cos(b), -Math.sin(b)), mix(z2, y, Math.cos(b), Math.sin(b))];
  draw();
});
slider.addEventListener("input", draw); get("by").addEventListener("change", draw);
draw();
"""


def environments_page(
    found: Environments, *, title: str, pictures: Sequence[tuple[str, Path]], command_line: str
) -> str:
    """Return the page as text: structure that turns, map with tips, frames, and pictures.

    Parameters
    ----------
    found : Environments
    title : str
    pictures : sequence of (str, Path)
        Captions and PNG files, which are copied into the page.
    command_line : str
        What does it again.

    Raises
    ------
    OSError
        If a picture cannot be read.
    """
    data = _data(found)
    return PAGE.format(
        title=escape(title),
        last=len(data["frames"]) - 1,
        first=round(100 * found.explained[0]),
        second=round(100 * found.explained[1]),
        rows="".join(_rows(found)),
        sentences="".join(f"<p>{escape(text)}.</p>" for text in found.against_orbits()),
        pictures="".join(_picture(caption, path) for caption, path in pictures),
        command=escape(command_line),
        # a "</script>" in a name would end the script
        data=json.dumps(data, allow_nan=False).replace("</", "<\\/"),
        script=SCRIPT,
    )


def _data(found: Environments) -> dict[str, Any]:
    n_frames, n_atoms = found.groups.shape
    shown = min(n_frames, max(1, MOST_PLACES // n_atoms))
    chosen = np.unique(np.linspace(n_frames - 1, 0, shown).round().astype(int))
    last = found.images[-1].positions
    centre = (last.min(axis=0) + last.max(axis=0)) / 2
    places = found.map.reshape(-1, 2)
    names = list(COLOURS)
    return {
        "frames": [
            {
                "number": int(n),
                "positions": found.images[n].positions.round(3).tolist(),
                "groups": found.groups[n].tolist(),
                "labels": [names.index(label) for label in found.labels[n]],
                "map": found.map[n].round(6).tolist(),
            }
            for n in chosen
        ],
        "symbols": found.images[0].get_chemical_symbols(),
        "orbits": found.orbits,
        "centre": centre.tolist(),
        "extent": max(float(np.linalg.norm(last - centre, axis=1).max()), 1.0),
        "low": places.min(axis=0).tolist(),
        "high": places.max(axis=0).tolist(),
        "labelNames": names,
        "labelColours": list(COLOURS.values()),
        "groupColours": [group_colour(g) for g in range(-1, found.n_groups)],
    }


def _rows(found: Environments) -> list[str]:
    rows = ["<tr><th>group</th><th>atoms</th><th>named</th><th>Wyckoff orbits</th></tr>"]
    names = found.group_names()
    for group, name in enumerate(names[:MOST_ROWS]):
        mine = found.groups[-1] == group
        orbits = sorted({o for o, m in zip(found.orbits or (), mine, strict=False) if m})
        words = ", ".join(orbits[:12]) + (f" and {len(orbits) - 12} more" if orbits[12:] else "")
        dot = f'<span class="dot" style="background:{group_colour(group)}"></span>'
        cells = (f"{dot}{group + 1}", str(int(mine.sum())), escape(name), escape(words or "none"))
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    if names[MOST_ROWS:]:
        atoms = int((found.groups[-1] >= MOST_ROWS).sum())
        rows.append(
            f"<tr><td></td><td>{atoms}</td><td>in {len(names) - MOST_ROWS} smaller groups</td></tr>"
        )
    return rows


def _picture(caption: str, path: Path) -> str:
    kind = "svg+xml" if path.suffix == ".svg" else "png"
    content = b64encode(path.read_bytes()).decode()
    return (
        f"<h2>{escape(caption)}</h2>"
        f'<img src="data:image/{kind};base64,{content}" alt="{escape(caption)}">'
    )
