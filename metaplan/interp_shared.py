"""Values that an expression uses more than once: computed once at each point, whichever side asks first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from metaplan import ir

Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"


class Shared:
    """What is known of the parts of one expression, evaluated at some points."""

    def __init__(self, root: ir.Expr | None = None) -> None:
        self._often = frozenset[ir.Expr]() if root is None else _often(root)
        self._known: dict[ir.Expr, tuple[Array, Array]] = {}

    def value(self, e: ir.Expr, taken: Array, compute: Callable[[Array], Array]) -> Array:
        """``e``, right at the points ``taken``: ``compute`` gets those of them where it is not known."""
        if e not in self._often:
            return compute(taken)
        if e not in self._known:
            self._known[e] = compute(taken), taken
            return self._known[e][0]
        value, known = self._known[e]
        new = taken & ~known
        if new.any():
            value = np.where(new, compute(new), value)
            self._known[e] = value, known | new
        return value


def _often(root: ir.Expr) -> frozenset[ir.Expr]:
    """The parts of ``root`` that are used more than once at its own points."""
    seen, often, stack = set[ir.Expr](), set[ir.Expr](), [root]
    while stack:
        e = stack.pop()
        below = _beside(e)
        if e not in seen:
            seen.add(e)
            stack += below
        elif below:
            often.add(e)
    return frozenset(often)


def _beside(e: ir.Expr) -> tuple[ir.Expr, ...]:
    """What is evaluated at the same points as ``e``, for it."""
    match e:
        case ir.Load() | ir.Bin() | ir.Not() | ir.Where() | ir.Cast() | ir.Expect():
            return ir.children(e)
        case ir.Distinct() | ir.Choice():
            return ir.children(e)
        case ir.At(_, _, index):
            return (index,)
        case _:
            return ()
