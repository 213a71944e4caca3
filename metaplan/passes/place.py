"""Storage: an index becomes the sum that it is, a row's start plus the place in the row."""

from __future__ import annotations

from metaplan import ir
from metaplan.ir import Op
from metaplan.passes.rewrite import Rewriter


def place(plan: ir.Plan) -> ir.Plan:
    """``plan`` without Index."""
    return Rewriter(_rule).plan(plan)


def _rule(e: ir.Expr) -> ir.Expr | None:
    match e:
        case ir.Index(axis):
            return index(axis)
        # a part has as many points as its lengths say
        case ir.Size(ir.Part(_, whole, _, length)):
            return ir.Reduce(ir.Monoid.SUM, length, whole.parent, None, loc=e.loc)
        # as many points as lie before
        case ir.Scan(ir.Const(1), over):
            return index(over)
        # the only point of a row of at most one
        case ir.Offset(ir.Ragged(most=1)):
            return ir.Const(0, loc=e.loc)
        case _:
            return None


def index(axis: ir.Axis) -> ir.Expr:
    """Where the values of a point of ``axis`` are stored."""
    offset: ir.Expr = ir.Offset(axis, loc=axis.loc)
    match axis:
        case ir.Root() | ir.Dense(_, None):
            return offset
        case ir.Dense(_, above, width):
            assert above is not None
            assert isinstance(width, int)
            row = ir.Bin(Op.MUL, _number(above), ir.Const(width, loc=axis.loc), loc=axis.loc)
            return ir.Bin(Op.ADD, row, offset, loc=axis.loc)
        case ir.Ragged(_, above, length, most):
            start = ir.Scan(length, above, loc=axis.loc)
            return start if most == 1 else ir.Bin(Op.ADD, start, offset, loc=axis.loc)
        case ir.Part(_, whole, before):
            start = ir.Scan(whole.length, whole.parent, loc=axis.loc)
            first = ir.Bin(Op.ADD, start, before, loc=axis.loc)
            return ir.Bin(Op.ADD, first, offset, loc=axis.loc)


def _number(axis: ir.Axis) -> ir.Expr:
    """Which of the live points of ``axis`` one is; those of a part are stored among others."""
    if not isinstance(axis, ir.Part):
        return index(axis)
    start = ir.Scan(axis.length, axis.whole.parent, loc=axis.loc)
    return ir.Bin(Op.ADD, start, ir.Offset(axis, loc=axis.loc), loc=axis.loc)
