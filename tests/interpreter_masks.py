# pyright: basic
"""A correction of the Triton interpreter for masks made of scalars and vectors, while it is entered and no longer."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def boolean_masks() -> Iterator[None]:
    """Masks of loads and stores are handed over as numpy bool.

    A one-bit scalar that is broadcast against a vector keeps its 0 / 1 values in the interpreter but becomes int8 or
    int32 (seen in triton 3.9), and a masked load refuses that. Only the storage type of the mask changes here.
    """
    from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

    load, store = InterpreterBuilder.create_masked_load, InterpreterBuilder.create_masked_store
    atomic = InterpreterBuilder.create_atomic_rmw

    def as_bool(mask):
        return TensorHandle(mask.data.astype(bool), mask.dtype)

    def masked_load(self, ptrs, mask, *rest):
        return load(self, ptrs, as_bool(mask), *rest)

    def masked_store(self, ptrs, value, mask, *rest):
        return store(self, ptrs, value, as_bool(mask), *rest)

    def masked_atomic(self, op, ptr, value, mask, *rest):
        return atomic(self, op, ptr, value, as_bool(mask), *rest)

    InterpreterBuilder.create_masked_load = masked_load
    InterpreterBuilder.create_atomic_rmw = masked_atomic
    InterpreterBuilder.create_masked_store = masked_store
    try:
        yield
    finally:
        InterpreterBuilder.create_masked_load = load
        InterpreterBuilder.create_atomic_rmw = atomic
        InterpreterBuilder.create_masked_store = store
