"""Damaged, foreign and hostile files: each is refused with a sentence."""

import hashlib
import json
import struct
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import torch as safetensors

from ase_symcalc.errors import PotentialFileError
from ase_symcalc.potential_files import load_potential, read_card, write_card

WEIGHTS = "weights.safetensors"


def refuse(folder, match):
    with pytest.raises(PotentialFileError, match=match) as error:
        load_potential(folder)
    assert str(folder) in str(error.value)
    return str(error.value)


def replace_file(folder, name, content):
    """Change a file and its hash, as only somebody who means it would."""
    (folder / name).write_bytes(content)
    card = read_card(folder)
    hashes = {**card.sha256, name: hashlib.sha256(content).hexdigest()}
    write_card(folder, replace(card, sha256=hashes))


def replace_weights(folder, change):
    tensors = safetensors.load_file(folder / WEIGHTS)
    change(tensors)
    replace_file(folder, WEIGHTS, safetensors.save(tensors))


@pytest.mark.parametrize("name", ["config.json", WEIGHTS, "golden.json"])
def test_a_missing_file(folder, name):
    (folder / name).unlink()
    refuse(folder, f"expected to read .*{name}.*Fetch the potential again")


@pytest.mark.parametrize("name", ["config.json", WEIGHTS, "golden.json"])
def test_a_truncated_file(folder, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    refuse(folder, f"{name}: expected sha256 .* got .* of {len(content) // 2} bytes")


def test_one_changed_bit(folder):
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (folder / WEIGHTS).write_bytes(content)
    refuse(folder, "expected sha256")


def test_hashes_come_before_parsing(folder, monkeypatch):
    (folder / "config.json").write_text("not JSON")
    monkeypatch.setattr("json.loads", lambda *_: pytest.fail("parsed"))
    refuse(folder, "expected sha256")


def test_a_card_without_a_hash(folder):
    card = read_card(folder)
    hashes = {name: digest for name, digest in card.sha256.items() if name != WEIGHTS}
    write_card(folder, replace(card, sha256=hashes))
    refuse(folder, f"expected the card to have the sha256 of {WEIGHTS}, found none")


def test_a_further_file_on_the_card_is_verified_too(folder):
    replace_file(folder, "notes.txt", b"as written")
    load_potential(folder)
    (folder / "notes.txt").write_bytes(b"as changed")
    refuse(folder, "notes.txt: expected sha256")


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00\x00", b"not JSON", b"[]", b"[" * 100_000, b"\xff\xfe", b'{"elements": ["H"]}'],
)
def test_settings_that_are_none(folder, content):
    replace_file(folder, "config.json", content)
    refuse(folder, "config.json: expected the settings of a network")


def test_deep_nesting_does_not_overflow_the_stack(folder):
    """Also where an import has raised the limit of recursion, as that of phonopy does."""
    replace_file(folder, "config.json", b"[" * 1_000_000)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10_000_000)
    try:
        refuse(folder, "config.json: expected the settings of a network")
    finally:
        sys.setrecursionlimit(limit)


def test_settings_with_an_unknown_key(folder):
    config = json.loads((folder / "config.json").read_text())
    replace_file(folder, "config.json", json.dumps({**config, "colour": 1}).encode())
    refuse(folder, "expected the settings of a network.*colour")


def test_settings_of_another_network(folder):
    config = json.loads((folder / "config.json").read_text())
    replace_file(folder, "config.json", json.dumps({**config, "cutoff": 3.5}).encode())
    refuse(folder, "expected card and network to agree, got cutoff = 3.0 on the card and 3.5")


def test_a_missing_tensor(folder):
    replace_weights(folder, lambda tensors: tensors.pop("embedding"))
    refuse(folder, r"expected a tensor 'embedding' of shape \(2, 4\), got none")


def test_a_tensor_too_many(folder):
    replace_weights(folder, lambda tensors: tensors.update(more=torch.zeros(2)))
    refuse(folder, r"expected a tensor 'more' of none, got shape \(2,\)")


def test_a_tensor_of_another_shape(folder):
    replace_weights(folder, lambda tensors: tensors.update(embedding=torch.zeros(4, 2)))
    refuse(folder, r"expected a tensor 'embedding' of shape \(2, 4\), got shape \(4, 2\)")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_weight_that_is_no_number(folder, value):
    replace_weights(folder, lambda tensors: tensors["embedding"].fill_(value))
    refuse(folder, "expected finite numbers in 'embedding'")


def header(table, length=None, data=b""):
    text = json.dumps(table).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


@pytest.mark.parametrize("length", [10**6, 2**62, 2**64 - 1])
def test_a_header_longer_than_the_file(folder, length):
    replace_file(folder, WEIGHTS, header({}, length))
    refuse(folder, f"expected a header of at most 2 bytes, got one that says it has {length}")


def test_a_header_of_absurd_length(folder):
    replace_file(folder, WEIGHTS, struct.pack("<Q", 10_000_001) + b" " * 10_000_001)
    refuse(folder, "expected a header of at most 10000000 bytes")


@pytest.mark.parametrize(
    "table",
    [
        {"embedding": {"dtype": "F32", "shape": [10**9, 10**9], "data_offsets": [0, 4]}},
        {"embedding": {"dtype": "F32", "shape": [1], "data_offsets": [0, 2**62]}},
        {"embedding": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}},
        {"embedding": {"dtype": "F4", "shape": [8], "data_offsets": [0, 4]}},
        {"embedding": {"dtype": "PICKLE", "shape": [1], "data_offsets": [0, 4]}},
        {"embedding": "x"},
        [],
    ],
)
def test_a_header_that_lies(folder, table):
    replace_file(folder, WEIGHTS, header(table, data=b"\x00" * 4))
    refuse(folder, "weights.safetensors: expected safetensors|expected a tensor")


@pytest.mark.parametrize("content", [b"", b"\x01", b"\x00" * 8, b"version https://git-lfs"])
def test_weights_that_are_none(folder, content):
    replace_file(folder, WEIGHTS, content)
    refuse(folder, "weights.safetensors: expected")


def test_a_pickle_is_not_opened(folder, tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    torch.save(Trap(), folder / WEIGHTS)
    replace_file(folder, WEIGHTS, (folder / WEIGHTS).read_bytes())
    refuse(folder, "weights.safetensors: expected")
    assert not (tmp_path / "sprung").exists()
