"""Memory that evaluations use again."""

import pytest

from ase_symcalc.inference.memory import _PATIENCE, Pile

MIB = 1 << 20


def held(pile):
    return sum(len(block.memory) for block in pile._blocks)


def evaluation(pile, n_bytes):
    with pile.borrowed():
        pile.take(n_bytes // 2)
        with pile.borrowed():
            pile.take(n_bytes - n_bytes // 2)


def test_memory_of_a_much_larger_structure_is_given_back():
    pile = Pile()
    evaluation(pile, 64 * MIB)
    assert held(pile) >= 64 * MIB
    for _ in range(_PATIENCE):
        assert held(pile) >= 64 * MIB
        evaluation(pile, 3 * MIB)
    assert 3 * MIB <= held(pile) < 4 * MIB
    (block,) = pile._blocks
    evaluation(pile, 3 * MIB)
    assert pile._blocks[0] is block


@pytest.mark.parametrize("others", [[40], [3, 3, 3, 20], [16]])
def test_memory_that_is_needed_again_and_again_stays(others):
    pile = Pile()
    evaluation(pile, 64 * MIB)
    evaluation(pile, 64 * MIB)
    (block,) = pile._blocks
    for _ in range(2 * _PATIENCE):
        for size in others:
            evaluation(pile, size * MIB)
    assert pile._blocks[0] is block


def test_a_little_memory_is_never_given_back():
    pile = Pile()
    evaluation(pile, 1000)
    (block,) = pile._blocks
    for _ in range(2 * _PATIENCE):
        evaluation(pile, 10)
    assert pile._blocks[0] is block
