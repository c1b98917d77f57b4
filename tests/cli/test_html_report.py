"""The page: whole by itself, and a browser shows it."""

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.data.colors import jmol_colors
from ase.io import write
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from ase_symcalc.apps.relax_plot import BLUE

SHIPPED = ("--potential", "metals-preview", "--no-cell")  # no force: no step is needed
VOID = {"meta", "img"}
ALONE = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars", "--window-size=900,2600",
)  # fmt: skip


class Page(HTMLParser):
    """Text and addresses of a page; every tag must be closed in order."""

    def __init__(self, source):
        super().__init__()
        self.open, self.addresses, self.text = [], [], ""
        self.feed(source)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.addresses += [v for k, v in attributes if k in ("src", "href", "srcset", "action")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def alloy(tmp_path):
    atoms = bulk("Cu", cubic=True)
    atoms[0].symbol = "Ni"
    path = tmp_path / "a&lt;b.cif"
    write(path, atoms)
    return path


@pytest.mark.parametrize("plot", [(), ("--plot", "steps.svg")], ids=["no plot", "svg"])
def test_it_is_whole_and_asks_for_nothing(symcalc, alloy, plot):
    code, out, _ = symcalc("relax", alloy, *SHIPPED, "--report", "page.html", *plot)
    assert code == 0
    assert "report      page.html" in out
    source = Path("page.html").read_text(encoding="utf-8")
    page = Page(source)
    assert len(page.addresses) == 2  # the structure, the steps
    assert all(address.startswith("data:image/") for address in page.addresses)
    assert not re.search(r"url\(|@import|<script|<link", source)
    for words in (
        "Relaxation of Cu3Ni (a&lt;b.cif)",
        "metals-preview 0.1 is a preview",
        "No Ni was near Cu where metals-preview was trained",
        "Pm-3m (221)",
        "48 operations, 2 of 4 atoms",
        "not for",
        f"symcalc relax '{alloy}' --potential metals-preview --no-cell --report page.html",
        "torch 2.",
    ):
        assert words in page.text


def test_the_same_command_gives_the_same_page(symcalc, alloy):
    command = ("relax", alloy, *SHIPPED, "--report", "page.html", "--quiet")
    symcalc(*command)
    before = Path("page.html").read_bytes()
    symcalc(*command)
    assert Path("page.html").read_bytes() == before


def test_a_browser_shows_it(symcalc, alloy, tmp_path):
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("there is no chromium on PATH to open the page with; apt install chromium")
    symcalc("relax", alloy, *SHIPPED, "--report", "page.html", "--quiet")
    outputs = (f"--user-data-dir={tmp_path / 'profile'}", "--screenshot=page.png", "--dump-dom")
    address = (tmp_path / "page.html").as_uri()
    done = subprocess.run(
        [browser, *ALONE, *outputs, address], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "Relaxation of Cu3Ni" in Page(done.stdout).text
    seen = imread("page.png")[:, :, :3]
    assert seen.shape == (2600, 900, 3)
    for colour, least in (
        (to_rgb("#d55e00"), 200),  # the edge of the warnings
        (to_rgb(BLUE), 10),  # one point of the plot
        (jmol_colors[28], 2000),  # the balls in the drawing
        (jmol_colors[29], 2000),
    ):
        assert (np.abs(seen - colour).max(axis=2) < 0.02).sum() > least, colour


def test_a_page_that_cannot_be_written_is_not_begun(symcalc, alloy, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device", "page.html")

    monkeypatch.setattr("ase_symcalc.cli.html_report.write_whole", full)
    code, _, err = symcalc("relax", alloy, *SHIPPED, "--report", "page.html", "--quiet")
    assert code == 2
    assert err == "symcalc relax: page.html: No space left on device\n"
