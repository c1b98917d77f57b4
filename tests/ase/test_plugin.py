"""ASE's plugins are private (``ase._4``): these tests pin what `ase_plugin` relies on."""

import configparser
import runpy
import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from ase_symcalc import SymCalc

ROOT = Path(__file__).parents[2]


@pytest.fixture
def entry_point():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    name, _, module = parser["options.entry_points"]["ase.plugins"].strip().partition(" = ")
    return EntryPoint(name, module, "ase.plugins")


def test_ase_finds_the_calculator(monkeypatch, entry_point):
    from ase._4.plugins import plugin_collection

    monkeypatch.setattr(plugin_collection, "entry_points", lambda group: EntryPoints([entry_point]))
    plugins = plugin_collection.PluginCollection.from_entry_points()
    (plugin,) = plugins.calculators
    assert plugin.name == "symcalc"
    assert plugin.package == "ase_symcalc"
    assert plugin() is SymCalc


def test_an_ase_without_plugins_is_no_error(monkeypatch, entry_point):
    monkeypatch.setitem(sys.modules, "ase._4.plugins.plugin", None)
    monkeypatch.delitem(sys.modules, entry_point.value, raising=False)
    assert runpy.run_module(entry_point.value)["__ase_plugins__"] == set()
