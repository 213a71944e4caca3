"""Copies written out: what depends on the number of a copy, once for each number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from metaplan import ir
from metaplan.copies import mentioned
from metaplan.passes.rewrite import Rewriter

N = TypeVar("N", bound=ir.Node)
C = TypeVar("C", ir.Carry, ir.Trial)


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
    rename = _Names(plan, which)
    each = [rename.numbered(n).plan(plan) for n in range(which.count)]
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


class _Names:
    """Folds and searches that depend on a copy carry other numbers in each."""

    def __init__(self, plan: ir.Plan, which: ir.Which) -> None:
        self.which = which
        own: set[ir.Expr] = set()
        most = 0
        for e in ir.walk(*ir.exprs(plan)):
            match e:
                case ir.Carry(number) | ir.Trial(number):
                    most = max(most, number)
                case ir.Fold(_, _, _, carries) if which in mentioned((e,)):
                    own |= set(carries)
                case ir.Bisect() if which in mentioned((e,)):
                    own.add(e.trial)
                case _:
                    pass
        self.numbers = {x.number for x in own if isinstance(x, ir.Carry | ir.Trial)}
        self.most = most

    def numbered(self, copy: int) -> Rewriter:
        """What turns a formula into that of the copy with the number ``copy``."""

        def moved(e: C) -> C:
            if e.number not in self.numbers:
                return e
            return replace(e, number=self.most + 1 + e.number * self.which.count + copy)

        inner = at_copy({self.which: copy}).rule

        def rule(e: ir.Expr) -> ir.Expr | None:
            match e:
                case ir.Carry():
                    return moved(e)
                case ir.Trial():
                    return moved(e)
                case ir.Fold(_, _, _, carries):
                    return replace(e, carries=tuple(map(moved, carries)))
                case _:
                    return inner(e)

        return Rewriter(rule)
