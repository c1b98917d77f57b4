"""Foreign checkpoints are read as data; hostile ones are refused, run nothing and eat nothing."""

import os
import pickle
import resource
import struct
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch

from ase_symcalc.errors import PotentialFileError
from ase_symcalc.potential_files.convert.unpickle import read_checkpoint

MANY = 10**9
PROTOCOL = b"\x80\x04"


@pytest.fixture
def save(tmp_path):
    def save(content):
        path = tmp_path / "checkpoint.pth"
        torch.save(content, path)
        return path

    return save


@pytest.fixture
def archive(tmp_path):
    """Write an archive as torch does, around any bytes in the place of the pickle."""

    def archive(pickled, storages=(), compression=zipfile.ZIP_STORED, **more):
        path = tmp_path / "hostile.pth"
        with zipfile.ZipFile(path, "w", compression) as file:
            file.writestr("hostile/data.pkl", pickled)
            for number, content in enumerate(storages):
                file.writestr(f"hostile/data/{number}", content)
            for name, content in more.items():
                file.writestr(f"hostile/{name}", content)
        return path

    return archive


def refuse(path, match):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(PotentialFileError, match=match) as error:
        read_checkpoint(path)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 150_000  # kB
    assert len(str(error.value)) < 1000
    assert str(path) in str(error.value)


# --- what is read ---------------------------------------------------------------------


def test_tensors_and_plain_containers_come_back(save):
    matrix = torch.arange(12.0).reshape(3, 4)
    read = read_checkpoint(
        save(
            {
                "transposed": matrix.T,
                "row": matrix[1],
                "none": torch.zeros(0, 3),
                "half": torch.ones(2, dtype=torch.bfloat16),
                "weight": torch.nn.Parameter(matrix[:2]),
                "ordered": OrderedDict(a=1, b=(2, [3, None])),
                "set": {1, 2},
                "scalar": np.float64(3.5),
                "array": np.arange(6.0).reshape(2, 3),
                "bytes": b"\x00\xff",
                "large": 2**70,
                "dtype": torch.float32,
                7: [True, -1.5],
            }
        )
    )
    assert torch.equal(read["transposed"], matrix.T)
    assert torch.equal(read["row"], matrix[1])
    assert read["none"].shape == (0, 3)
    assert read["half"].dtype == torch.bfloat16
    assert torch.equal(read["weight"], matrix[:2])
    assert not read["weight"].requires_grad
    assert read["ordered"] == {"a": 1, "b": (2, [3, None])}
    assert read["set"] == {1, 2}
    assert read["scalar"] == 3.5
    assert torch.equal(read["array"].state["value"], torch.arange(6.0).double().reshape(2, 3))
    assert read["bytes"] == b"\x00\xff"
    assert read["large"] == 2**70
    assert read["dtype"] == torch.float32
    assert read[7] == [True, -1.5]


class Network(torch.nn.Module):
    made = 0

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(2, 3)
        self.activation = torch.nn.functional.silu

    def __setstate__(self, state):
        Network.made += 1
        super().__setstate__(state)


def test_a_pickled_module_becomes_records_and_its_class_is_never_asked(save):
    network = Network()
    path = save(network)
    read = read_checkpoint(path)
    assert Network.made == 0
    assert read.name.endswith("test_unpickle.Network")
    assert read.state["activation"].name == "torch.nn.functional.silu"
    linear = read.state["_modules"]["linear"]
    assert linear.name == "torch.nn.modules.linear.Linear"
    assert torch.equal(linear.state["_parameters"]["weight"], network.linear.weight)


# --- what is refused ------------------------------------------------------------------


class Runs:
    """An object whose unpickling calls something."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("function", "argument", "name"),
    [
        (os.system, "touch {}", "posix.system"),
        (eval, "open({!r}, 'w')", "builtins.eval"),
        (getattr, "x", "builtins.getattr"),
        (np.load, "{}", "numpy.load"),
        (torch.load, "{}", "torch.serialization.load"),
        (__import__, "antigravity", "builtins.__import__"),
    ],
)
def test_what_wants_something_called(save, tmp_path, function, argument, name):
    marker = tmp_path / "it ran"
    path = save({"weights": torch.ones(2), "trap": [Runs(function, argument.format(marker))]})
    refuse(path, f"wants '{name}' called while it is read, and nothing in a file is executed")
    assert not marker.exists()


def test_a_file_that_is_not_there(tmp_path):
    refuse(tmp_path / "nothing.pth", "expected .* to be a complete archive")


@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_file(save, fraction):
    path = save({"weights": torch.ones(1000)})
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * fraction)])
    refuse(path, "complete archive written by torch.save")


def test_a_changed_number(save):
    path = save({"weights": torch.ones(1000)})
    content = bytearray(path.read_bytes())
    place = content.find(struct.pack("<8f", *[1.0] * 8))
    content[place] ^= 1
    path.write_bytes(content)
    refuse(path, "damaged")


def test_a_plain_pickle(tmp_path):
    path = tmp_path / "plain.pkl"
    path.write_bytes(pickle.dumps({"a": 1}))
    refuse(path, "must be saved again by a newer torch")


def test_a_torchscript_program(archive):
    refuse(archive(b"", **{"constants.pkl": b""}), "is a TorchScript program")


def test_a_packaged_program(archive):
    path = archive(b"", **{".data/extern_modules": "os"})
    refuse(path, "is a packaged program")


def test_an_archive_that_unfolds(archive):
    path = archive(pickle.dumps(None), [bytes(10**8)], compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 10**6
    refuse(path, "contents are larger than the file")


def persistent(kind, key, length):
    """Code that pushes a storage: the tuple ("storage", kind, key, "cpu", length)."""
    return (
        b"("
        + _text("storage")
        + f"ctorch\n{kind}\n".encode()
        + _text(key)
        + _text("cpu")
        + _number(length)
        + b"tQ"
    )


def _text(text):
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def _number(n):
    data = n.to_bytes(9, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def _numbers(numbers):
    return b"(" + b"".join(map(_number, numbers)) + b"t"


def tensor(length, offset, size, stride, kind="FloatStorage"):
    """Pickle of one tensor whose header says what it likes."""
    return (
        PROTOCOL
        + b"ctorch._utils\n_rebuild_tensor_v2\n("
        + persistent(kind, "0", length)
        + _number(offset)
        + _numbers(size)
        + _numbers(stride)
        + b"\x89N"
        + b"tR."
    )


def test_the_crafted_header_is_one_that_is_read_when_it_is_true(archive):
    path = archive(tensor(4, 1, [3], [1]), [struct.pack("<4f", 1, 2, 3, 4)])
    assert read_checkpoint(path).tolist() == [2, 3, 4]


@pytest.mark.parametrize(
    ("header", "match"),
    [
        ((MANY, 0, [MANY], [1]), f"expected {MANY} numbers .* got 16 bytes"),
        ((4, 0, [MANY], [1]), f"{MANY} numbers in a storage of 4"),
        ((4, 0, [MANY], [0]), f"{MANY} numbers in a storage of 4"),
        ((4, 0, [2, 3], [2, 1]), "6 numbers in a storage of 4"),
        ((4, MANY, [1], [1]), "1 numbers in a storage of 4"),
        ((4, 0, [2], [-1]), "absurd shape or strides"),
        ((4, -1, [2], [1]), "absurd shape or strides"),
        ((4, 0, [2] * 99, [0] * 99), "absurd shape or strides"),
        ((4, 0, [2**62, 2**62, 0], [1, 1, 1]), "pickle without meaning"),
        ((4, 0, [2], [1], "StringStorage"), "pickle without meaning"),
    ],
)
def test_a_tensor_header_that_lies(archive, header, match):
    refuse(archive(tensor(*header), [bytes(16)]), match)


@pytest.mark.parametrize(
    "pickled",
    [
        PROTOCOL + b"\x96" + struct.pack("<Q", 2**40) + b".",  # room for a bytearray of 1 TB
        PROTOCOL + b"\x8d" + struct.pack("<Q", 2**40) + b".",  # text of 1 TB
        PROTOCOL + b"r" + struct.pack("<I", 2**32 - 1) + b".",  # slot 4 billion of the memo
        PROTOCOL + b"N" + b"r" + struct.pack("<I", 2**32 - 1) + b"0.",
        PROTOCOL + b"}" * 600_000 + b".",
        PROTOCOL + b"(" * 600_000 + b".",
        PROTOCOL + b")" + b"\x85" * 600_000 + b".",
        PROTOCOL + b"\x8a\xff" + bytes(10),
        PROTOCOL + b"h\x05.",
        PROTOCOL + b"R.",
        PROTOCOL + b"NNs.",
        PROTOCOL + b"}(Nu.",
        PROTOCOL + b"}]Ns.",  # a list as a key
        PROTOCOL + b"\x82\x01.",  # a class from a registry
        PROTOCOL + b"N",
        b"",
        b"rubbish",
    ],
)
def test_a_pickle_without_meaning(archive, pickled):
    refuse(archive(pickled), "expected a checkpoint, got a pickle without meaning")


def test_references_that_multiply_cost_nothing(archive):
    doubled = b"".join(bytes([0x28, 0x68, n, 0x68, n, 0x6C, 0x71, n + 1]) for n in range(100))
    path = archive(PROTOCOL + b"]q\x00" + doubled + b".")  # 2 to the power of 100 lists
    assert len(read_checkpoint(path)) == 2


def test_tuples_within_tuples_are_no_keys(archive):
    doubled = b"".join(bytes([0x68, n, 0x68, n, 0x86, 0x71, n + 1, 0x30]) for n in range(100))
    path = archive(PROTOCOL + b"Nq\x000" + doubled + b"}hdNs.")  # hashing takes for ever
    refuse(path, "a tuple as a key")


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


@pytest.mark.parametrize(
    ("function", "arguments", "times"),
    [
        (b"c_codecs\nencode\n", b"(" + text("a" * 2_000_000) + text("latin1") + b"t", 4000),
        (b"ctorch.jit._pickle\nbuild_intlist\n", b"((" + b"N" * 100_000 + b"lt", 4000),
        (b"cbuiltins\ndict\n", b"((" + b"NN\x86" * 100_000 + b"lt", 4000),
    ],
)
def test_one_value_copied_again_and_again(archive, function, arguments, times):
    calls = b"(" + b"h\x00h\x01R" * times + b"t."
    path = archive(PROTOCOL + function + b"q\x00" + arguments + b"q\x01" + calls)
    refuse(path, "the same values copied again and again")


def test_one_state_given_to_many_objects(archive):
    state = b"}(" + b"".join(b"J" + struct.pack("<i", n) + b"N" for n in range(50_000)) + b"u"
    objects = b"(" + b"h\x00)\x81h\x01b" * 4000 + b"t."
    path = archive(PROTOCOL + b"cpackage\nClass\nq\x00" + state + b"q\x01" + objects)
    refuse(path, "the same values copied again and again")


def test_a_compressed_entry_under_the_name_of_code_is_no_storage(archive):
    named = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("a/code/b") + text("cpu")
    path = archive(PROTOCOL + named + b"K\x01tQ.")
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as file:
        file.writestr("hostile/data/a/code/b", bytes(1 << 28))
    refuse(path, "no program is read")


@pytest.mark.parametrize(
    "kind", [b"N\x85", b")" + b"\x85" * 100_000, b"\x8b" + struct.pack("<i", 4000) + b"\x7f" * 4000]
)
def test_an_array_of_a_kind_that_is_no_word(archive, kind):
    dtype = b"cnumpy\ndtype\n(" + kind + b"tR"
    scalar = b"cnumpy.core.multiarray\nscalar\n(" + dtype + b"C\x04aaaatR."
    refuse(archive(PROTOCOL + scalar), "unknown kind|the instruction LONG4")


def test_a_zip_version_that_nobody_knows(archive):
    path = archive(PROTOCOL + b"N.")
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 6] = 99
    path.write_bytes(content)
    refuse(path, "zip file version 9.9")
