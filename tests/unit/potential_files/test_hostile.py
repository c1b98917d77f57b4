"""A hostile file of each format is refused with a sentence, runs nothing, and eats no memory."""

import resource
import struct
import warnings
import zipfile
from pathlib import Path

import pytest

from ase_symcalc import load_potential
from ase_symcalc.errors import PotentialFileError

FOLDER = Path(__file__).parents[2] / "regression"
FILES = {
    "SevenNet": "sevennet/no_parity.pth",
    "MACE": "mace/one_layer.model",
    "NequIP": "nequip/natural.ckpt",
    "NequIP 0.6": "nequip/training/best_model.pth",
    "NequIP 0.6, deployed": "nequip/deployed.pth",
}
PROTOCOL = b"\x80\x02"


@pytest.fixture(params=FILES)
def rewrite(request, tmp_path):
    """Write a checkpoint again, with other bytes in the place of some of its members."""

    def rewrite(change, extra=()):
        source = FOLDER / FILES[request.param]
        path = tmp_path / source.name
        if (settings := source.parent / "config.yaml").is_file():
            (tmp_path / "config.yaml").write_bytes(settings.read_bytes())
        with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
            for entry in old.infolist():
                new.writestr(entry.filename, change(entry.filename, old.read(entry)))
            root = old.namelist()[0].partition("/")[0]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # two of one name
                for name, content in extra:
                    new.writestr(f"{root}/{name}", content)
        return path

    return rewrite


def refuse(path, match):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(PotentialFileError, match=match) as error:
        load_potential(path)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 150_000  # kB
    assert len(str(error.value)) < 1000
    assert str(path) in str(error.value)


def before_the_pickle(code):
    """Let a pickle first do something, then what it did anyway."""

    def change(name, content):
        return PROTOCOL + code + content[2:] if name.endswith("/data.pkl") else content

    return change


def _text(text):
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def test_as_it_is_it_is_read(rewrite):
    assert load_potential(rewrite(lambda name, content: content)).model.elements


@pytest.mark.parametrize("function", ["posix system", "builtins eval", "torch load"])
def test_a_command_is_not_run(rewrite, function, tmp_path):
    marker = tmp_path / "it ran"
    words = f"touch '{marker}'" if function == "posix system" else f"open({str(marker)!r}, 'w')"
    module, name = function.split()
    call = f"c{module}\n{name}\n".encode() + _text(words) + b"\x85R0"
    refuse(rewrite(before_the_pickle(call)), f"wants '{module}.{name}' called")
    assert not marker.exists()


@pytest.mark.parametrize("fraction", [0.1, 0.6, 0.99])
def test_a_truncated_file(rewrite, fraction):
    path = rewrite(lambda name, content: content)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * fraction)])
    refuse(path, "complete archive written by torch.save")


@pytest.mark.parametrize("claimed", [4, 10**9])
def test_a_tensor_of_a_billion_numbers(rewrite, claimed):
    storage = b"(" + _text("storage") + b"ctorch\nFloatStorage\n" + _text("hostile")
    storage += _text("cpu") + b"J" + struct.pack("<i", claimed) + b"tQ"
    size = b"(J" + struct.pack("<i", 10**9) + b"t(K\x01t"
    header = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00" + size + b"\x89NtR0"
    path = rewrite(before_the_pickle(header), [("data/hostile", bytes(16))])
    refuse(path, "expected 1000000000 numbers" if claimed > 4 else "1000000000 numbers in a stor")


def test_storages_that_are_cut_short(rewrite):
    """Shapes in the pickle are then others than those of the numbers beside it."""

    def change(name, content):
        return content[: len(content) // 2] if "/data/" in name else content

    refuse(rewrite(change), "numbers of .* in storage")


def test_a_pickle_that_says_nothing(rewrite):
    path = rewrite(lambda name, content: b"\x80\x02}." if name.endswith("data.pkl") else content)
    refuse(path, "of a kind known here")


def test_two_pickles_of_one_name(rewrite):
    refuse(rewrite(lambda _, content: content, [("data.pkl", b"N.")]), "one data.pkl")


def test_one_member_under_many_names(rewrite):
    """Directory entries that all point to the same bytes: small outside, large inside."""
    large = 10**6
    path = rewrite(lambda _, content: content, [("data/0000", bytes(large))])
    with zipfile.ZipFile(path, "a") as file:
        (entry,) = (e for e in file.infolist() if e.filename.endswith("data/0000"))
        for number in range(100):
            copy = zipfile.ZipInfo(f"{entry.filename}{number:04}")
            for name in ("CRC", "compress_size", "file_size", "header_offset"):
                setattr(copy, name, getattr(entry, name))
            file.filelist.append(copy)
        file._didModify = True
    refuse(path, "contents are larger than the file")


def test_a_bomb_of_code_is_never_unfolded(rewrite):
    path = rewrite(lambda _, content: content)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as file:
        root = file.namelist()[0].partition("/")[0]
        file.writestr(f"{root}/code/bomb.py", bytes(3 * 10**8))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # what writing it has taken
    assert load_potential(path).model.elements
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150_000  # kB


def test_settings_beside_a_program_are_short(tmp_path):
    source = FOLDER / FILES["NequIP 0.6, deployed"]
    path = tmp_path / "deployed.pth"
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        for entry in old.infolist():
            long = entry.filename.endswith("extra/config")
            new.writestr(entry.filename, b"#" * 2_000_000 if long else old.read(entry))
    refuse(path, "at most 1048576 bytes in 'deployed/extra/config', got 2000000")
