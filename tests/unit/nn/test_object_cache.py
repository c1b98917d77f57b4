"""Compiled kernels on disk: found again, and never trusted more than they should be."""

import ctypes
import errno
import logging
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from e3nn.o3 import Irreps
from llvmlite import ir

from ase_symcalc.inference.build import gate_table
from ase_symcalc.nn.activation import Gate
from ase_symcalc.nn.kernels import gates, machine, object_cache
from ase_symcalc.nn.kernels.builder import KernelBuilder
from ase_symcalc.nn.kernels.compiled import convolution_kernel
from ase_symcalc.nn.kernels.images import images_kernel
from ase_symcalc.nn.kernels.paths import PathTable
from ase_symcalc.nn.kernels.polynomial import polynomial_kernel
from ase_symcalc.nn.layout import blocks
from ase_symcalc.nn.product_table import ProductTable

ROOT = Path(__file__).parents[3]


def filling(number):
    """Assembly that fills an array."""
    builder = KernelBuilder("double", (), ("out",))
    with builder.loop(builder.arg["first"], builder.arg["last"]) as n:
        place = builder.at(builder.arg["out"], n)
        builder.b.store(ir.Constant(builder.real, number), place)
    return builder.finish()


def filled(kernel):
    out = (ctypes.c_double * 3)()
    kernel(0, 3, ctypes.addressof(out))
    return list(out)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Folder of this test's own."""
    folder = tmp_path / "some" / "kernels"
    monkeypatch.setenv(object_cache.ENVIRONMENT, str(folder))
    object_cache._say.cache_clear()
    machine._announce.cache_clear()
    return folder


@pytest.fixture
def compiled(place, monkeypatch):
    """Texts that were compiled since."""
    texts = []
    compile_ = machine._compile
    monkeypatch.setattr(machine, "_compile", lambda text: texts.append(text) or compile_(text))
    return texts


def only_file(place):
    (path,) = place.iterdir()
    return path


def test_a_kernel_is_compiled_once(place, compiled):
    for _ in range(2):
        assert filled(machine.compile_kernel(filling(4.5), 1)) == [4.5] * 3
    assert len(compiled) == 1
    assert only_file(place).stat().st_mode & 0o077 == 0
    assert place.stat().st_mode & 0o077 == 0
    assert filled(machine.compile_kernel(filling(5.5), 1)) == [5.5] * 3
    assert len(compiled) == 2


def test_it_is_not_even_written_again(place):
    written = []

    @machine.compiled(1)
    def constant(number):
        written.append(number)
        return filling(number)

    assert constant(3.0) is constant(3.0)
    again = constant.__wrapped__  # what another process would have
    assert filled(constant(3.0)) == filled(again(3.0)) == [3.0] * 3
    assert written == [3.0]
    assert filled(again(4.0)) == [4.0] * 3


def run_at_once(n_processes, program):
    command = [sys.executable, "-W", "error", "-c", program]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def run(_):
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    with ThreadPoolExecutor(n_processes) as pool:
        return list(pool.map(run, range(n_processes)))


def test_other_processes_find_it(place):
    text = filling(2.0)
    machine.compile_kernel(text, 1)
    program = f"""
import ctypes, sys
from ase_symcalc.nn.kernels import machine
machine._compile = None
out = ctypes.c_double()
machine.compile_kernel({text!r}, 1)(0, 1, ctypes.addressof(out))
assert out.value == 2.0
assert "torch" not in sys.modules
"""
    (done,) = run_at_once(1, program)
    assert done.returncode == 0, done.stderr


def test_processes_that_begin_together_do_not_disturb_each_other(place):
    program = f"""
import ctypes
from ase_symcalc.nn.kernels import machine
for text, number in {[(filling(float(n)), float(n)) for n in range(5)]!r}:
    out = ctypes.c_double()
    machine.compile_kernel(text, 1)(0, 1, ctypes.addressof(out))
    assert out.value == number
"""
    for done in run_at_once(3, program):
        assert done.returncode == 0, done.stderr
    assert len(list(place.iterdir())) == 5


@pytest.mark.parametrize("damage", ["truncated", "changed", "empty", "of another kernel"])
def test_a_damaged_file_is_not_executed(place, compiled, damage):
    machine.compile_kernel(filling(4.5), 1)
    path = only_file(place)
    sound = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(sound[:-20])
    elif damage == "changed":
        path.write_bytes(sound[:-20] + bytes([sound[-20] ^ 1]) + sound[-19:])
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        path.unlink()
        machine.compile_kernel(filling(7.5), 1)
        only_file(place).rename(path)
    compiled.clear()
    for _ in range(2):
        assert filled(machine.compile_kernel(filling(4.5), 1)) == [4.5] * 3
    assert len(compiled) == 1
    assert path.read_bytes() == sound


def open_folder(path, monkeypatch):
    path.parent.chmod(0o770)


def open_file(path, monkeypatch):
    path.chmod(0o606)


def foreign(path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)


def link(path, monkeypatch):
    path.rename(path.parent.parent / "elsewhere")
    path.symlink_to(path.parent.parent / "elsewhere")


def folder(path, monkeypatch):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("make", [open_folder, open_file, foreign, link, folder])
def test_what_others_could_have_written_is_not_executed(place, compiled, monkeypatch, make):
    machine.compile_kernel(filling(4.5), 1)
    make(only_file(place), monkeypatch)
    assert filled(machine.compile_kernel(filling(4.5), 1)) == [4.5] * 3
    assert len(compiled) == 2


def no_folder(place, monkeypatch):
    place.parent.parent.joinpath("some").write_text("a file")


def no_home(place, monkeypatch):
    monkeypatch.delenv(object_cache.ENVIRONMENT)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def home(*_):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", home)


def read_only(place, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(object_cache.tempfile, "mkstemp", refuse)
    monkeypatch.setattr(os, "utime", refuse)


def full(place, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", refuse)


def unreadable(place, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    machine.compile_kernel(filling(4.5), 1)
    monkeypatch.setattr(Path, "read_bytes", refuse)


@pytest.mark.parametrize("make", [no_folder, no_home, read_only, full, unreadable])
def test_without_a_folder_kernels_are_compiled(place, monkeypatch, caplog, make):
    caplog.set_level(logging.INFO, object_cache.__name__)
    make(place, monkeypatch)
    for number in (4.5, 4.5, 5.5):
        assert filled(machine.compile_kernel(filling(number), 1)) == [number] * 3
    said = [r for r in caplog.records if r.name == object_cache.__name__]
    assert len(said) == 1
    assert said[0].levelno == logging.INFO
    if place.is_dir():
        assert all(len(path.stem) == 64 for path in place.iterdir())  # nothing unfinished


def test_a_read_only_folder_is_read(place, compiled, monkeypatch):
    machine.compile_kernel(filling(4.5), 1)
    read_only(place, monkeypatch)
    assert filled(machine.compile_kernel(filling(4.5), 1)) == [4.5] * 3
    assert len(compiled) == 1


def test_what_was_not_used_for_longest_makes_room(place, monkeypatch):
    place.mkdir(parents=True, mode=0o700)
    (place / "mine.txt").write_bytes(bytes(1000))
    (place / "unfinished.kernel").write_bytes(bytes(100))
    os.utime(place / "unfinished.kernel", (500, 500))
    code = bytes(100)
    for n in range(4):
        object_cache.keep(f"k{n}", code)
        os.utime(place / f"k{n}.kernel", (1000 + n, 1000 + n))
    size = (place / "k0.kernel").stat().st_size
    monkeypatch.setattr(object_cache, "LARGEST", 3 * size)
    assert object_cache.find("k0") == code  # used now
    object_cache.keep("k4", code)
    names = {path.name for path in place.iterdir()}
    assert names == {"mine.txt", "k0.kernel", "k3.kernel", "k4.kernel"}


def test_where_kernels_are_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv(object_cache.ENVIRONMENT, "")
    assert object_cache.folder() == tmp_path / ".cache" / "ase_symcalc"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert object_cache.folder() == tmp_path / "xdg" / "ase_symcalc"
    monkeypatch.setenv(object_cache.ENVIRONMENT, "~/own")
    assert object_cache.folder() == tmp_path / "own"


def test_only_the_first_call_says_that_it_compiles(place, caplog):
    caplog.set_level(logging.INFO, machine.__name__)
    for number in (1.5, 2.5, 1.5):
        machine.compile_kernel(filling(number), 1)
    assert len(caplog.records) == 1
    assert "compiling" in caplog.text
    machine._announce.cache_clear()
    caplog.clear()
    machine.compile_kernel(filling(1.5), 1)
    assert not caplog.records


def test_another_processor_has_kernels_of_its_own(monkeypatch):
    cpu, features = machine._processor()
    monkeypatch.setattr(machine, "_processor", lambda: (cpu, f"{features},+other"))
    machine._circumstances.cache_clear()
    try:
        circumstances = machine._circumstances()
    finally:
        monkeypatch.undo()
        machine._circumstances.cache_clear()
    assert "+other" in circumstances
    assert circumstances != machine._circumstances()


def test_recipes_tell_all_kernels_apart(monkeypatch):
    made = {}

    def record(recipe, write, n_pointers):
        assert " at 0x" not in recipe
        assert made.setdefault(recipe, text := write()) == text
        return len

    monkeypatch.setattr(machine, "_kernel", record)
    harmonics = Irreps.spherical_harmonics(2)
    for text in ("4x0e+4x1o", "4x0e+4x1e", "8x0e+4x1o", "4x0e"):
        irreps = Irreps(text)
        for targets in ("0e+1o+2e", "0e+1o", "0e+1o+1e"):
            table = PathTable.build(irreps, harmonics, Irreps(targets))
            for kernel in ("g", "x", "yb", "t"):
                for real in ("float", "double"):
                    convolution_kernel.__wrapped__(table, 4, kernel, real)
            convolution_kernel.__wrapped__(table, 1, "g", "float")
        for back in (False, True):
            images_kernel.__wrapped__(blocks(irreps), "float", back)
            for odd in ("tanh", "silu"):
                gate = Gate(Irreps(f"{text}+3x0o"), odd=odd)
                gates._kernel.__wrapped__(gate_table(gate), "float", back)
    for outputs in ("0e", "0e+1o"):
        table = ProductTable.build(Irreps("0e+1o"), Irreps(outputs), 2)
        for n_channels in (8, 16):
            for kernel in ("values", "gradient"):
                polynomial_kernel.__wrapped__(kernel, table, n_channels, "float")
    assert len(made) > 100
