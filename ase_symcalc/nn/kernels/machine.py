"""From LLVM assembly to a function that runs here, compiled or found in the `object_cache`."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

import llvmlite
import llvmlite.binding as llvm

from ase_symcalc.nn.kernels import object_cache
from ase_symcalc.nn.kernels.forks import lock_for_forks

Kernel = Callable[..., None]
"""``kernel(first, last, *pointers)``; it lets go of the interpreter lock while it runs."""

logger = logging.getLogger(__name__)

_lock = lock_for_forks()
_engines: list[llvm.ExecutionEngine] = []  # machine code lives as long as its engine


def compile_kernel(assembly: str, n_pointers: int) -> Kernel:
    """Compile ``kernel(first, last, *pointers)`` for this processor."""
    return _kernel(assembly, lambda: assembly, n_pointers)


def compiled(n_pointers: int) -> Callable[[Callable[..., str]], Callable[..., Kernel]]:
    """Make a function that writes assembly return the compiled kernel instead, once for all.

    For long texts: they are not even written if their kernel is on disk. There it is known by
    the name of the function and the ``repr`` of its arguments, which must say all about them.
    """

    def decorate(write: Callable[..., str]) -> Callable[..., Kernel]:
        @functools.cache
        @functools.wraps(write)
        def kernel(*arguments: object) -> Kernel:
            recipe = f"{write.__module__}.{write.__qualname__}{arguments!r}"
            return _kernel(recipe, lambda: write(*arguments), n_pointers)

        return kernel

    return decorate


def _kernel(recipe: str, write: Callable[[], str], n_pointers: int) -> Kernel:
    with _lock:  # around all that LLVM does, for it has locks of its own
        code = _code(recipe, write)
        engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _target_machine())
        engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        engine.finalize_object()
        _engines.append(engine)
        address = engine.get_function_address("kernel")
    signature = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 2, *[ctypes.c_void_p] * n_pointers)
    return signature(address)


def _code(recipe: str, write: Callable[[], str]) -> bytes:
    """Object file of the kernel that a recipe stands for."""
    _initialize()
    key = hashlib.sha256(f"{_circumstances()}\n{recipe}".encode()).hexdigest()
    code = object_cache.find(key)
    if code is None:
        _announce()
        code = _compile(write())
        object_cache.keep(key, code)
    return code


def _compile(assembly: str) -> bytes:
    machine = _target_machine()
    module = llvm.parse_assembly(assembly)
    passes = llvm.create_pass_builder(machine, llvm.PipelineTuningOptions(speed_level=2))
    passes.getModulePassManager().run(module, passes)
    return machine.emit_object(module)


@functools.cache
def _initialize() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


def _target_machine() -> llvm.TargetMachine:
    """Make a new one: an engine keeps its own."""
    cpu, features = _processor()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(cpu=cpu, features=features, opt=3, jit=True)


@functools.cache
def _processor() -> tuple[str, str]:
    return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()


@functools.cache
def _circumstances() -> str:
    """Tell what machine code depends on beside its recipe: compiler, processor, our own code."""
    sources = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        sources.update(path.read_bytes())
    compiler = (llvmlite.__version__, llvm.llvm_version_info, llvm.get_default_triple())
    return repr((*compiler, *_processor(), sources.hexdigest()))


@functools.cache
def _announce() -> None:
    """Say once that compiling is what takes so long."""
    logger.info("compiling kernels for this processor, which takes some seconds")
