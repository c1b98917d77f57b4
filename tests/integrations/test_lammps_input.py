"""Which lines of a LAMMPS input are ours, and what is said of those that cannot be."""

import pytest

from ase_symcalc.errors import InputError
from ase_symcalc.integrations.lammps_input import LammpsInput, Style, elements_of, located

GOOD = """# copper
units metal
variable a &
    string "# x"
read_data cu.data
pair_style symcalc default dtype float32  # ours
neighbor 1.0 bin
pair_coeff * * Cu
print "
two
lines" """


def read(tmp_path, text):
    path = tmp_path / "in.lammps"
    path.write_text(text, encoding="utf-8")
    return LammpsInput.read(path)


def texts(commands):
    return [one.text for one in commands]


def test_an_input_is_cut_at_our_lines(tmp_path):
    script = read(tmp_path, GOOD.replace('"\ntwo\nlines"', '"""\ntwo\nlines"""'))
    assert texts(script.before)[1] == 'variable a &\n    string "# x"'
    assert script.style.words == ("pair_style", "symcalc", "default", "dtype", "float32")
    assert texts(script.between) == ["neighbor 1.0 bin"]
    assert script.coefficients.where.endswith("in.lammps, line 8")
    assert texts(script.after) == ['print """\ntwo\nlines""" ']


def test_the_first_run_is_found(tmp_path):
    end = "fix 1 all nve\nrun 10\nprint done\nrun 20\n"
    script = read(tmp_path, "pair_style symcalc a\npair_coeff * * Cu\n" + end)
    assert texts(script.until_first_run()) == ["fix 1 all nve"]


def test_our_lines_may_be_included(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "potential.mod").write_text("pair_style symcalc a\npair_coeff * * Cu\n", "utf-8")
    (tmp_path / "other.mod").write_text("timestep 0.001\n", "utf-8")
    script = read(tmp_path, "units metal\ninclude other.mod\ninclude potential.mod\nrun 0\n")
    assert texts(script.before) == ["units metal", "include other.mod"]
    assert script.style.where == "potential.mod, line 1"
    assert texts(script.after) == ["run 0"]


def test_a_file_that_includes_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.mod").write_text("include a.mod\n", "utf-8")
    with pytest.raises(InputError, match=r"a\.mod includes itself"):
        read(tmp_path, "include a.mod\n")


OURS = "pair_style symcalc a\npair_coeff * * Cu\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("units metal\nrun 0\n", "expected a line `pair_style symcalc NAME`"),
        ("pair_style symcalc a\nrun 0\n", "line 1: expected a line `pair_coeff"),
        ("pair_coeff * * Cu\npair_style symcalc a\n", "line 2: expected a line `pair_coeff"),
        ("pair_style hybrid/overlay symcalc a zbl 1 2\npair_coeff * * Cu\n", "no part of hybrid"),
        (OURS + "pair_style lj/cut 5\n", "line 3: pair_style cannot follow"),
        (OURS + "clear\n", "line 3: clear cannot follow"),
        (OURS + "kspace_style pppm 1e-5\n", "line 3: kspace_style cannot follow"),
        (OURS + "pair_coeff * * Ag\n", "line 3: expected one line `pair_coeff"),
        ("neigh_modify exclude type 1 1\n" + OURS, "line 1: neigh_modify exclude"),
        (OURS + "comm_modify mode single group all\n", "line 3: comm_modify group"),
        (OURS + "print 'a' &\n", "line 3: expected the command to end"),
    ],
)
def test_what_cannot_be_is_refused_with_its_line(tmp_path, text, sentence):
    with pytest.raises(InputError, match=r"in\.lammps") as caught:
        read(tmp_path, text)
    assert sentence in str(caught.value)


def test_the_line_of_the_potential(tmp_path):
    script = read(tmp_path, "pair_style symcalc ${name} device cuda dtype float32\n" + OURS[21:])
    style = Style.of(script.style, lambda text: text.replace("${name}", "default"))
    assert style == Style("default", "float32", "cuda")


@pytest.mark.parametrize("words", ["", "a float32", "a precision low", "a dtype"])
def test_a_line_that_names_no_potential(tmp_path, words):
    script = read(tmp_path, f"pair_style symcalc {words}\npair_coeff * * Cu\n")
    with pytest.raises(InputError, match="line 1: expected `pair_style symcalc NAME`"):
        Style.of(script.style, str)


def test_elements_of_the_types(tmp_path):
    script = read(tmp_path, "pair_style symcalc a\npair_coeff * * Cu Ni Cu\n")
    assert elements_of(script.coefficients, str, 3, ["Ni", "Cu"]) == ("Cu", "Ni", "Cu")
    with pytest.raises(InputError, match=r"line 2: expected .* with 2 elements"):
        elements_of(script.coefficients, str, 2, ["Ni", "Cu"])
    with pytest.raises(InputError, match=r"Ni is no element that the potential knows; .* Cu"):
        elements_of(script.coefficients, str, 3, ["Cu"])
    script = read(tmp_path, "pair_style symcalc a\npair_coeff 1 1 Cu\n")
    with pytest.raises(InputError, match=r"expected `pair_coeff \* \*` with 1 element,"):
        elements_of(script.coefficients, str, 1, ["Cu"])


def test_an_error_of_lammps_finds_its_line(tmp_path):
    script = read(tmp_path, OURS + "fix 1 &\n  all nonsense\nrun 0\n")
    error = "ERROR: Unknown fix style (src/src/modify.cpp:7)\nLast input line: fix 1   all nonsense"
    sentence = located(error, script.after)
    assert sentence.endswith("in.lammps, line 3: LAMMPS says: Unknown fix style")
    assert located("ERROR on proc 0: Lost atoms: 1 of 2 (src/src/thermo.cpp:1)", ()) == (
        "in the input: LAMMPS says: Lost atoms: 1 of 2"
    )
    error = "ERROR: Label wasn't found in input script (src/src/input.cpp:1)\nLast input line: jump"
    assert "a jump cannot cross" in located(error, script.after)
