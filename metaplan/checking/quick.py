# pyright: basic
"""Triton's interpreter without what it does again at each call, and what it computes for nobody."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np


def quicken() -> None:
    """From here on, in this process, an interpreted launch takes about half its time and does the same.

    At each call from one function to another, triton 3.6 to 3.9 walk their whole language to replace what the launch
    has replaced already; they follow each sum in int64 for an assertion that they drop unless ``debug`` is set; and
    the xor of an axis, of which their sorts are made, they take element by element.
    """
    from triton.runtime import interpreter

    options = interpreter.interpreter_builder.options
    interpreter.interpreter_builder.options = replace(options, sanitize_overflow=options.debug)
    interpreter._patch_lang = _once_a_launch(interpreter)
    interpreter.ReduceOps.apply_impl = _xor_at_once(interpreter)


def _xor_at_once(interpreter: Any) -> Any:
    """``apply_impl`` of a reduction, with the xor of an axis in NumPy as its sum is."""
    apply, xor = interpreter.ReduceOps.apply_impl, interpreter.tl.standard._xor_combine

    def applied(self: Any, given: Any) -> Any:
        if self.combine_fn is not xor or self.axis is None:
            return apply(self, given)
        (one,) = given
        found = np.bitwise_xor.reduce(one.handle.data, axis=self.axis, keepdims=self.keep_dims)
        return [self.to_tensor(found, one.dtype)]

    return applied


def _once_a_launch(interpreter: Any) -> Any:
    """``_patch_lang`` that does nothing where the launch has replaced what a function sees of the language."""
    patch, language = interpreter._patch_lang, (interpreter.tl, interpreter.tl.core)
    replaced: set[tuple[bool, ...]] = set()

    @cache
    def seen(function: Any) -> tuple[bool, ...]:
        names = function.__globals__.values()
        return tuple(any(value is module for value in names) for module in language)

    def once(function: Any) -> Any:
        if seen(function) in replaced:
            return interpreter._LangPatchScope()
        scope = patch(function)
        replaced.add(seen(function))
        restore = scope.restore

        def restored() -> None:
            replaced.clear()
            restore()

        scope.restore = restored
        return scope

    return once
