# pyright: basic
"""What triton's interpreter needs before it takes every mask that its compiler takes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

MASKS = {"create_masked_load": 1, "create_masked_store": 2, "create_atomic_rmw": 3}
"""Methods of the interpreter's builder, and which of their arguments is the mask."""


@contextlib.contextmanager
def boolean_masks() -> Iterator[None]:
    """Within it, masks of loads, stores and atomics are NumPy bool.

    In triton 3.9 a one-bit scalar broadcast against a vector becomes int8 or int32 there, holding
    0 and 1, and a masked access refuses it.
    """
    from triton.runtime.interpreter import InterpreterBuilder

    kept = {name: getattr(InterpreterBuilder, name) for name in MASKS}
    for name, at in MASKS.items():
        setattr(InterpreterBuilder, name, _with_bool(kept[name], at))
    try:
        yield
    finally:
        for name, method in kept.items():
            setattr(InterpreterBuilder, name, method)


def _with_bool(method: Callable[..., Any], at: int) -> Callable[..., Any]:
    from triton.runtime.interpreter import TensorHandle

    def called(builder: Any, *arguments: Any) -> Any:
        mask = arguments[at]
        if mask is None:
            return method(builder, *arguments)
        as_bool = TensorHandle(mask.data.astype(bool), mask.dtype)
        return method(builder, *arguments[:at], as_bool, *arguments[at + 1 :])

    return called
