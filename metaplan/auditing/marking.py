# pyright: basic
"""The user's lines, written into the profiler's trace where torch waits or copies.

No operator is intercepted: torch's wait methods and the copying methods of its tensors are wrapped,
and torch's own warnings of synchronizing operators are turned into marks. Compiled functions and
CUDA graphs run as they do without an audit.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from metaplan.auditing.device import has_gpu
from metaplan.auditing.lines import AT, WAITED, spelled
from metaplan.auditing.stack import stack
from metaplan.auditing.watch import debug_mode

METHODS = ("item", "tolist", "cpu", "cuda", "to", "copy_", "nonzero")
"""Of a tensor: those that can wait for the GPU or copy to or from it."""


@contextmanager
def marking() -> Iterator[None]:
    """While it is open, waits and copies leave their lines in the trace that is being recorded."""
    import torch

    with ExitStack() as opened:
        for owner in (torch.cuda, torch.cuda.Event, torch.cuda.Stream):
            opened.enter_context(marked(owner, "synchronize"))
        for name in METHODS:
            opened.enter_context(marked(torch.Tensor, name, touches_gpu))
        opened.enter_context(marked(torch.Tensor, "pin_memory"))
        opened.enter_context(warned())
        if has_gpu():
            opened.enter_context(debug_mode())
        yield


def touches_gpu(tensor: Any, *arguments: Any, **keywords: Any) -> bool:
    """Whether a method of ``tensor`` may reach the GPU: by the tensor, or by what it is given."""
    return bool(tensor.is_cuda or arguments or keywords)


@contextmanager
def marked(
    owner: Any, name: str, applies: Callable[..., bool] = lambda *_, **__: True
) -> Iterator[None]:
    """Spans each call of ``owner.name`` that ``applies`` with its line; it still does its work."""
    import torch

    original: Callable[..., Any] = getattr(owner, name)
    inherited = name not in vars(owner)
    label = f"{owner.__name__}.{name}"

    def spanning(*arguments: Any, **keywords: Any) -> Any:
        if torch.compiler.is_compiling() or not applies(*arguments, **keywords):
            return original(*arguments, **keywords)
        with torch.profiler.record_function(spelled(AT, stack(), label)):
            return original(*arguments, **keywords)

    setattr(owner, name, spanning)
    try:
        yield
    finally:
        if inherited:
            delattr(owner, name)
        else:
            setattr(owner, name, original)


@contextmanager
def warned() -> Iterator[None]:
    """Turns each of torch's warnings of a wait into a mark, where it is raised; others pass."""
    import torch

    with warnings.catch_warnings():
        warnings.filterwarnings("always", message=".*synchronizing CUDA operation")
        shown = warnings.showwarning

        def noting(message: Any, *told: Any, **named: Any) -> None:
            if "synchronizing CUDA operation" in str(message):
                with torch.profiler.record_function(spelled(WAITED, stack())):
                    pass
            elif "Synchronization debug mode" not in str(message):
                shown(message, *told, **named)

        warnings.showwarning = noting
        yield
