import pytest

import ase_symcalc


def test_these_names_and_no_other():
    names = {"SymCalc", "evaluate", "load_potential", "list_potentials", "__version__"}
    assert set(ase_symcalc.__all__) == names
    assert len(ase_symcalc.__all__) == len(names)
    assert names <= set(dir(ase_symcalc))


@pytest.mark.parametrize("name", ase_symcalc.__all__)
def test_each_is_what_its_name_says(name):
    value = getattr(ase_symcalc, name)
    assert isinstance(value, str) if name == "__version__" else value.__name__ == name


def test_no_name_is_made_up():
    with pytest.raises(AttributeError, match="module 'ase_symcalc' has no attribute 'symcalc'"):
        ase_symcalc.symcalc  # noqa: B018
