"""Storage: an index becomes the sum that it is, a row's start plus the place in the row."""

from __future__ import annotations

from metaplan import catalogue, ir
from metaplan.ir import Op
from metaplan.passes.rewrite import Rewriter


def place(plan: ir.Plan) -> ir.Plan:
    """``plan`` without Index; sums that one launch cannot make are refused."""
    placed = Rewriter(_rule).plan(plan)
    for e in ir.walk(*ir.exprs(placed)):
        _one_pass(e)
    return placed


def _one_pass(e: ir.Expr) -> None:
    """A sum goes over its points once: no value on the way may need the points before, or below."""
    match e:
        case ir.Scan(of, over):
            to = None
        case ir.Reduce(_, of, over, to):
            pass
        case _:
            return
    above = ir.chain(to)
    for x in ir.walk(of, *(n for a in ir.chain(over) for n in _lengths(a))):
        match x:
            case ir.Scan(_, along) if along not in above:
                raise catalogue.sum_of_running_sum(e.loc)
            case ir.Reduce(_, _, below, own) if to is not None and own not in above:
                if not (isinstance(below, ir.Ragged) and below.most == 1):
                    raise catalogue.reduction_of_reductions(over.name, below.name, e.loc)
            case _:
                pass


def _lengths(axis: ir.Axis) -> tuple[ir.Expr, ...]:
    return (axis.length,) if isinstance(axis, ir.Ragged | ir.Part) else ()


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
            row = ir.Bin(Op.MUL, index(above), ir.Const(width, loc=axis.loc), loc=axis.loc)
            return ir.Bin(Op.ADD, row, offset, loc=axis.loc)
        case ir.Ragged(_, above, length, most):
            start = ir.Scan(length, above, loc=axis.loc)
            return start if most == 1 else ir.Bin(Op.ADD, start, offset, loc=axis.loc)
        case ir.Part(_, whole, before):
            start = ir.Scan(whole.length, whole.parent, loc=axis.loc)
            first = ir.Bin(Op.ADD, start, before, loc=axis.loc)
            return ir.Bin(Op.ADD, first, offset, loc=axis.loc)
