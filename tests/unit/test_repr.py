"""What a prompt or a notebook shows: short, with what one wants to know."""

from dataclasses import dataclass, replace
from html.parser import HTMLParser

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

from ase_symcalc import SymCalc, evaluate
from ase_symcalc.apps import eos, relax
from ase_symcalc.apps.short_repr import short_repr


def test_a_calculator_is_written_as_it_is_made(potential_folder, other_folder):
    calc = SymCalc(potential_folder, dtype="float32", symmetry="off")
    assert repr(calc) == f"SymCalc('{potential_folder}', dtype='float32', symmetry='off')"
    again = eval(repr(calc), {"SymCalc": SymCalc})
    assert again.todict() == calc.todict()
    both = SymCalc([potential_folder, other_folder])
    assert repr(both) == f"SymCalc(['{potential_folder}', '{other_folder}'])"
    assert repr(SymCalc()) == "SymCalc('metals-preview')"


def test_a_notebook_shows_the_card(potential):
    card = replace(potential.card, limits="strains < 10 %", pairs=("Si-Si", "Cu-Cu"))
    shown = SymCalc(replace(potential, card=card))._repr_html_()
    parser = HTMLParser()
    parser.feed(shown)
    assert shown.count("<table>") == shown.count("</table>") == 1
    for words in ("SymCalc(", "small 1", "Si-Si Cu-Cu", "strains &lt; 10 %", "anything but tests"):
        assert words in shown
    assert "not known" in potential.card._repr_html_()


def test_a_potential_does_not_list_its_weights(potential):
    assert repr(potential) == "Potential(small 1, float64 on cpu)"


def test_results_of_one_structure(potential, silicon):
    (result,) = evaluate(silicon, potential)
    words = repr(result)
    assert words.startswith(f"StructureResult(8 atoms, energy {result.energy:.6f} eV, largest")
    assert words.endswith("GPa)")
    pressure = -np.trace(result.stress) / 3 * 160.21766
    assert f"pressure {pressure:.3f}" in words
    (bare,) = evaluate(Atoms("Si"), potential, properties=["energy"])
    assert repr(bare) == f"StructureResult(1 atoms, energy {bare.energy:.6f} eV)"


def test_a_relaxation():
    atoms = bulk("Cu")
    atoms.calc = EMT()
    words = repr(relax(atoms))
    assert words.startswith("RelaxResult(Cu, converged in ")
    assert words.endswith("space group Fm-3m (225))")
    words = repr(relax(Atoms("Cu2", [(0, 0, 0), (0, 0, 2)], calculator=EMT()), max_steps=1))
    assert words.startswith("RelaxResult(Cu2, not converged in 1 steps, energy ")
    assert "volume" not in words


def test_the_others_are_short():
    atoms = bulk("Cu")
    atoms.calc = EMT()
    words = repr(eos(atoms))
    assert words.startswith("EosResult(atoms=<Cu>, volumes=<11 numbers>, energies=<11 numbers>")
    assert "bulk_modulus=134." in words
    assert len(words) < 700


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (1 / 3, "0.333333"),
        (np.eye(3) / 3, "[[0.3333, 0. , 0. ], [0. , 0.3333, 0. ], [0. , 0. , 0.3333]]"),
        (np.zeros((2, 5)), "<2 x 5 numbers>"),
        ((1.0, "a", None), "[1, 'a', None]"),
        (list(range(4)), "<4 items>"),
        ({1: 2}, "<1 items>"),
        ("a" * 100, "'" + "a" * 59 + "…"),
        (Atoms("H2O"), "<H2O>"),
    ],
)
def test_one_value(value, words):
    @dataclass
    class Result:
        value: object

    assert short_repr(Result(value)) == f"Result(value={words})"
