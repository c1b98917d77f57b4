"""Kernels called one after the other by compiled code, from a list of calls."""

from __future__ import annotations

import ctypes

import numpy as np
from llvmlite import ir

from ase_symcalc.nn.kernels.builder import I64, KernelBuilder
from ase_symcalc.nn.kernels.machine import Kernel, compiled

MOST_ARGUMENTS = 18


@compiled(3)
def sequence_kernel() -> str:
    """``kernel(first, last, starts, code, table)`` on addresses, for calls first..last-1.

    What a call is begins at ``code[starts[call]]``: the address of a kernel, the number of its
    arguments, and for each a number and an entry of the ``table``, whose sum it is.
    """
    builder = KernelBuilder("double", ("starts", "code", "table"), ())
    b, code = builder.b, builder.arg["code"]
    with builder.loop(builder.arg["first"], builder.arg["last"]) as n:
        start = b.load(builder.at(builder.arg["starts"], n))
        call = builder.at(code, start)
        address, n_arguments = (b.load(builder.at(call, builder.index(k))) for k in range(2))
        done = b.append_basic_block()
        choice = b.switch(n_arguments, done)
        for size in range(2, MOST_ARGUMENTS + 1):
            block = b.append_basic_block()
            choice.add_case(builder.index(size), block)
            b.position_at_end(block)
            arguments = []
            for k in range(size):
                number, entry = (
                    b.load(builder.at(call, builder.index(2 + 2 * k + part))) for part in range(2)
                )
                base = b.load(builder.at(builder.arg["table"], entry))
                arguments.append(b.add(number, base))
            kind = ir.FunctionType(ir.VoidType(), [I64] * size).as_pointer()
            b.call(b.inttoptr(address, kind), arguments)
            b.branch(done)
        b.position_at_end(done)
    return builder.finish()


def address(array: np.ndarray) -> int:
    """Where the numbers of an array are, which must be writable; `ctypes` of it takes longer."""
    return ctypes.addressof(ctypes.c_char.from_buffer(array.data)) if array.size else 0


def address_of(kernel: Kernel) -> int:
    """Where the code of a compiled kernel is."""
    address = ctypes.cast(kernel, ctypes.c_void_p).value  # type: ignore[arg-type]
    assert address is not None
    return address
