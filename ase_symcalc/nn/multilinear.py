"""Automatic differentiation of forms that are linear in every argument.

If F(a, b, c, …) is linear in each argument, ∂F/∂a does not hold a, and the derivative of
∂F/∂a with respect to b, applied to d, is ∂F/∂b with d in the place of a. Whoever can form
all ∂F/∂a can therefore differentiate any number of times: forces, training on forces, and
Hessians run on the same few contractions.
"""

from collections.abc import Iterable, Mapping
from typing import ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

Arguments = Mapping[str, Tensor | None]
"""Of a form, by name."""


@runtime_checkable
class MultilinearForm(Protocol):
    """A form and its contractions."""

    names: ClassVar[tuple[str, ...]]
    """Of the arguments, in order."""

    def contract(self, wanted: tuple[str, ...], args: Arguments) -> dict[str, Tensor]:
        """Differentiate by each of the ``wanted`` arguments at ``args``.

        If one alone is wanted, its own value may be None.
        """


def derivative(form: MultilinearForm, wanted: str, **args: Tensor) -> Tensor:
    """Differentiate a form by one argument, given all others; differentiable again."""
    (out,) = _Derivative.apply(form, (wanted,), *(args.get(name) for name in form.names))
    return out


def asked_for(ctx, args: Iterable[Tensor | None]) -> list[bool]:  # type: ignore[no-untyped-def]
    """Whether the pass under way needs the gradient by each argument of a node.

    ``ctx.needs_input_grad`` says whether any could: forces would pay for those by weights.
    """
    nodes = iter([node for node, _ in ctx.next_functions])
    return [_runs(next(nodes)) if arg is not None else False for arg in args]


def _runs(node: torch.autograd.graph.Node | None) -> bool:
    if node is None:
        return False
    try:
        return torch._C._will_engine_execute_node(node)
    except RuntimeError:  # torch does not tell of leaves
        return True


class _Derivative(torch.autograd.Function):
    @staticmethod
    def forward(ctx, form, wanted, *args):  # type: ignore[no-untyped-def]
        ctx.form, ctx.wanted = form, wanted
        ctx.save_for_backward(*args)
        out = form.contract(wanted, dict(zip(form.names, args, strict=True)))
        return tuple(out[name] for name in wanted)

    @staticmethod
    def backward(ctx, *gradients):  # type: ignore[no-untyped-def]
        names = ctx.form.names
        args = dict(zip(names, ctx.saved_tensors, strict=True))
        needed = [n for n, w in zip(names, asked_for(ctx, ctx.saved_tensors), strict=True) if w]
        total: dict[str, Tensor | None] = dict.fromkeys(names)
        for name, gradient in zip(ctx.wanted, gradients, strict=True):
            others = tuple(n for n in needed if n != name)
            if gradient is None or not others:
                continue
            replaced = {**args, name: gradient}
            parts = _Derivative.apply(ctx.form, others, *(replaced[n] for n in names))
            for other, part in zip(others, parts, strict=True):
                before = total[other]
                total[other] = part if before is None else before + part
        return (None, None, *total.values())
