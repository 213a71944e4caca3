"""Copies written out: what depends on the number of a copy, once for each number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from metaplan import ir
from metaplan.passes.rewrite import Rewriter

N = TypeVar("N", bound=ir.Node)


def unroll(plan: ir.Plan, chosen: Iterable[ir.Which]) -> ir.Plan:
    """``plan`` without the copies ``chosen``: their outputs, changes and axes stand there one by one."""
    for which in chosen:
        plan = _unrolled(plan, which)
    return plan


def at_copy(numbers: Mapping[ir.Which, int]) -> Rewriter:
    """What turns a formula into that of the copy with these numbers."""

    def rule(e: ir.Expr) -> ir.Expr | None:
        match e:
            case ir.Which() if e in numbers:
                return ir.Const(numbers[e], loc=e.loc)
            case ir.Choice(ir.Const(at), values, dtype) if 0 <= at < len(values):
                return ir.Const(values[at], dtype, loc=e.loc)
            case _:
                return None

    return Rewriter(rule)


def _unrolled(plan: ir.Plan, which: ir.Which) -> ir.Plan:
    each = [at_copy({which: n}).plan(plan) for n in range(which.count)]
    return replace(
        plan,
        axes=_merged(p.axes for p in each),
        outputs=_merged(p.outputs for p in each),
        updates=_merged(p.updates for p in each),
        checks=_merged(p.checks for p in each),
        copies=tuple(w for w in plan.copies if w != which),
    )


def _merged(each: Iterable[tuple[N, ...]]) -> tuple[N, ...]:
    """What stands at one place of all copies, one after the other; once where it is the same."""
    return tuple(dict.fromkeys(x for same in zip(*each, strict=True) for x in same))
