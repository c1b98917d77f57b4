"""From LLVM assembly to a function that runs here.

A kernel compiles in a tenth of a second, so nothing is cached on disk.
"""

import ctypes
import threading
from collections.abc import Callable

import llvmlite.binding as llvm

_lock = threading.Lock()
_engines: list[llvm.ExecutionEngine] = []  # machine code lives as long as its engine


def compile_kernel(assembly: str, n_pointers: int) -> Callable[..., None]:
    """Compile ``kernel(first, last, *pointers)`` for this processor.

    The call lets go of the interpreter lock while it runs.
    """
    with _lock:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        machine = llvm.Target.from_default_triple().create_target_machine(
            cpu=llvm.get_host_cpu_name(),
            features=llvm.get_host_cpu_features().flatten(),
            opt=3,
            jit=True,
        )
        module = llvm.parse_assembly(assembly)
        passes = llvm.create_pass_builder(machine, llvm.PipelineTuningOptions(speed_level=2))
        passes.getModulePassManager().run(module, passes)
        engine = llvm.create_mcjit_compiler(module, machine)
        engine.finalize_object()
        _engines.append(engine)
    signature = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 2, *[ctypes.c_void_p] * n_pointers)
    return signature(engine.get_function_address("kernel"))
