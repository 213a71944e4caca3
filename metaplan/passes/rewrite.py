"""The one rewriting driver: bottom-up, through axes too, each node to a fixed point."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from metaplan import ir

Rule: TypeAlias = Callable[[ir.Expr], "ir.Expr | None"]
AxisRule: TypeAlias = Callable[[ir.Axis], ir.Axis]


def _same(axis: ir.Axis) -> ir.Axis:
    return axis


def _nothing(e: ir.Expr) -> ir.Expr | None:
    return None


class Rewriter:
    """Applies a rule to every expression and an axis rule to every axis, each distinct one once."""

    def __init__(self, rule: Rule = _nothing, axis_rule: AxisRule = _same) -> None:
        self.rule, self.axis_rule = rule, axis_rule
        self._exprs: dict[ir.Expr, ir.Expr] = {}
        self._axes: dict[ir.Axis, ir.Axis] = {}

    def expr(self, e: ir.Expr) -> ir.Expr:
        if e not in self._exprs:
            self._exprs[e] = self._expr(e)
        return self._exprs[e]

    def _expr(self, e: ir.Expr) -> ir.Expr:
        new = self._named_axes(ir.rebuild(e, tuple(self.expr(c) for c in ir.children(e))))
        changed = self.rule(new)
        while changed is not None and changed != new:
            new = changed
            changed = self.rule(new)
        return new

    def _named_axes(self, e: ir.Expr) -> ir.Expr:
        match e:
            case ir.Size(axis) | ir.Offset(axis) | ir.Index(axis):
                new = self.axis(axis)
                return e if new is axis else replace(e, axis=new)
            case ir.Scan(_, over) | ir.RowScan(_, over) | ir.Across(_, _, over) | ir.Sort(_, over):
                new = self.axis(over)
                return e if new is over else replace(e, over=new)
            case ir.At(_, axis) | ir.Fold(axis):
                new = self.axis(axis)
                return e if new is axis else replace(e, axis=new)
            case ir.Distinct(_, per) if per is not None:
                new = self.axis(per)
                return e if new is per else replace(e, per=new)
            case ir.Reduce(_, _, over, to):
                pair = self.axis(over), self.axis(to) if to is not None else None
                return e if pair == (over, to) else replace(e, over=pair[0], to=pair[1])
            case _:
                return e

    def axis(self, a: ir.Axis) -> ir.Axis:
        if a not in self._axes:
            self._axes[a] = self.axis_rule(self._axis(a))
        return self._axes[a]

    def _axis(self, a: ir.Axis) -> ir.Axis:
        match a:
            case ir.Root():
                return a
            case ir.Dense(_, above):
                return replace(a, parent=self.axis(above) if above is not None else None)
            case ir.Ragged(_, above, length):
                return replace(a, parent=self.axis(above), length=self.expr(length))
            case ir.Part(_, whole, before, length):
                new = self.axis(whole)
                assert isinstance(new, ir.Ragged)
                return replace(a, whole=new, before=self.expr(before), length=self.expr(length))

    def plan(self, p: ir.Plan) -> ir.Plan:
        return replace(
            p,
            axes=tuple(self.axis(a) for a in p.axes),
            outputs=tuple(self._output(o) for o in p.outputs),
            updates=tuple(self._update(u) for u in p.updates),
            checks=tuple(self.check(c) for c in p.checks),
        )

    def _optional(self, e: ir.Expr | None) -> ir.Expr | None:
        return None if e is None else self.expr(e)

    def _place(self, a: ir.Axis | None) -> ir.Axis | None:
        return None if a is None else self.axis(a)

    def _output(self, o: ir.Output) -> ir.Output:
        parts: list[tuple[ir.Part, ir.Expr]] = []
        for part, value in o.parts:
            new = self.axis(part)
            assert isinstance(new, ir.Part)
            parts.append((new, self.expr(value)))
        tail = o.tail
        if isinstance(tail, ir.Fill):
            tail = replace(tail, value=self.expr(tail.value), until=self._optional(tail.until))
        return replace(
            o,
            axis=self._place(o.axis),
            columns=tuple(self.expr(c) for c in o.columns),
            parts=tuple(parts),
            where=self._optional(o.where),
            tail=tail,
            put=None if o.put is None else self._put(o.put),
            copies=tuple((self.expr(number), count) for number, count in o.copies),
        )

    def _put(self, p: ir.Put) -> ir.Put:
        index = tuple(self.expr(i) for i in p.index)
        return replace(p, axis=self._place(p.axis), index=index)

    def _update(self, u: ir.Update) -> ir.Update:
        return replace(
            u,
            axis=self._place(u.axis),
            index=tuple(self.expr(i) for i in u.index),
            value=self.expr(u.value),
            where=self._optional(u.where),
        )

    def check(self, c: ir.Check) -> ir.Check:
        return replace(c, axis=self._place(c.axis), bad=self.expr(c.bad))
