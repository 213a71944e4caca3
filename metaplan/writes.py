"""What a plan stores, one buffer element at a time: outputs, updates and checks alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod

from metaplan import ir
from metaplan.copies import first_cell
from metaplan.interp import copy_shape
from metaplan.ir import Op
from metaplan.passes.place import index
from metaplan.passes.rewrite import Rewriter
from metaplan.passes.simplify import Simplify
from metaplan.ranges import Ranges


@dataclass(frozen=True, slots=True)
class Write:
    """``buffer[position] = value`` at every point of ``axis`` where ``where`` holds.

    For an update, ``target`` and ``at`` say the element instead of ``position``. ``combine`` says what
    becomes of what the element held.
    """

    buffer: str
    axis: ir.Axis | None
    value: ir.Expr
    where: ir.Expr | None
    position: ir.Expr | None = None
    target: ir.Input | None = None
    at: tuple[ir.Expr, ...] = ()
    combine: ir.Combine = ir.Combine.ONLY

    def roots(self) -> tuple[ir.Expr, ...]:
        """The expressions that this write needs."""
        extra = [e for e in (self.position, self.where) if e is not None]
        return (*self.at, *extra, self.value)

    def mapped(self, rule: Callable[[ir.Expr], ir.Expr]) -> Write:
        """The same write of other expressions."""
        return replace(
            self,
            value=rule(self.value),
            where=_optional(rule, self.where),
            position=_optional(rule, self.position),
            at=tuple(map(rule, self.at)),
        )


def cells(plan: ir.Plan, o: ir.Output) -> int:
    """How many elements one copy of ``o`` has."""
    return prod(copy_shape(plan, o))


def writes(plan: ir.Plan) -> list[Write]:
    """The stores of a placed plan; a point that the buffer has no room for is left out."""
    ranges = Ranges()
    out: list[Write] = []
    for o in plan.outputs:
        if o.put is not None and not o.columns:
            continue  # filled here, scattered by a later launch
        if o.put is not None:
            where, position = o.where, _in_copy(plan, o, _scattered(o, o.put))
            out += [
                Write(o.name, o.put.axis, c, where, position, combine=o.put.combine)
                for c in o.columns
            ]
            continue
        pairs = o.parts or tuple((o.axis, c) for c in o.columns)
        for column, (axis, value) in enumerate(pairs):
            position = _position(axis, 0 if o.parts else column, len(o.columns))
            where = o.where
            if axis is not None and _may_exceed(ranges, axis):
                place = o.loc.unnamed()
                room = ir.Const(cells(plan, o) - o.fences, loc=place)
                inside = ir.Bin(Op.LT, position, room, loc=place)
                where = inside if where is None else ir.Bin(Op.AND, where, inside, loc=place)
            out.append(Write(o.name, axis, value, where, _in_copy(plan, o, position)))
    tidy = Rewriter(Simplify(ranges).rule).expr
    out = [
        replace(w, position=_optional(tidy, w.position), where=_optional(tidy, w.where))
        for w in out
    ]
    updates = (
        Write(u.target.name, u.axis, u.value, u.where, None, u.target, u.index, u.combine)
        for u in plan.updates
    )
    return [*out, *updates]


def _optional(rule: Callable[[ir.Expr], ir.Expr], e: ir.Expr | None) -> ir.Expr | None:
    return None if e is None else rule(e)


def _in_copy(plan: ir.Plan, o: ir.Output, position: ir.Expr) -> ir.Expr:
    """The cell ``position`` of the copy that ``o`` fills."""
    first = first_cell(o, cells(plan, o))
    if first is None:
        return position
    if ir.dtype_of(position) is ir.DType.I64:
        first = ir.Cast(first, ir.DType.I64, loc=first.loc)
    return ir.Bin(Op.ADD, position, first, loc=o.loc.unnamed())


def _scattered(o: ir.Output, put: ir.Put) -> ir.Expr:
    """The cell of a scattered output that a point names."""
    if len(put.index) == 1:
        return put.index[0]
    row, place = put.index
    if ir.dtype_of(row) is not ir.dtype_of(place):
        row, place = (ir.Cast(e, ir.DType.I64, loc=e.loc) for e in put.index)
    width = ir.Const(o.width, ir.dtype_of(row), loc=o.loc.unnamed())
    scaled = ir.Bin(Op.MUL, row, width, loc=o.loc.unnamed())
    return ir.Bin(Op.ADD, scaled, place, loc=o.loc.unnamed())


def _position(axis: ir.Axis | None, column: int, columns: int) -> ir.Expr:
    if axis is None:
        return ir.Const(column)
    place = index(axis)
    if columns <= 1:
        return place
    scaled = ir.Bin(Op.MUL, place, ir.Const(columns, loc=axis.loc), loc=axis.loc)
    return ir.Bin(Op.ADD, scaled, ir.Const(column, loc=axis.loc), loc=axis.loc)


def _may_exceed(ranges: Ranges, axis: ir.Axis) -> bool:
    return any(
        isinstance(a, ir.Ragged)
        and a.capacity is not None
        and ranges.capacity(a.parent) * ranges.bound(a) > a.capacity
        for a in (*ir.chain(axis), *([axis.whole] if isinstance(axis, ir.Part) else []))
    )
