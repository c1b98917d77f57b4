"""``symcalc check``: a table, and an exit code."""


def test_a_sound_potential_passes(symcalc):
    code, out, _ = symcalc("check", "small", "--most", "2")
    assert code == 0, out
    assert "12 of 12 checks passed" in out
    assert "Li crystal" in out
    assert "Mo shaken crystal" in out


def test_bad_input_is_refused(symcalc):
    code, _, err = symcalc("check", "small", "--most", "0")
    assert code == 2
    assert "expected --most to be at least 1" in err
    assert symcalc("check", "nothing")[0] == 2


def test_distances_are_scanned(symcalc):
    code, out, _ = symcalc("check", "small", "--distances", "--most", "1")
    assert code in (0, 1)  # a network that learnt nothing may have holes
    assert "two atoms" in out
    assert "squeezed" in out
    assert "of 2 checks passed" in out
