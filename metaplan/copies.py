"""Copies of a plan: what depends on which copy computes, and where each copy is stored."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

from metaplan import ir


def mentioned(roots: Iterable[ir.Expr], axes: Iterable[ir.Axis | None] = ()) -> frozenset[ir.Which]:
    """The copies on which expressions and axes depend, through the lengths of the axes too."""
    found: set[ir.Which] = set()
    seen: set[ir.Axis] = set()

    def stand(axis: ir.Axis | None) -> None:
        for a in ir.chain(axis):
            if a in seen:
                continue
            seen.add(a)
            match a:
                case ir.Ragged(_, _, length):
                    look((length,))
                case ir.Part(_, whole, before, length):
                    stand(whole)
                    look((before, length))
                case _:
                    pass

    def look(exprs: Iterable[ir.Expr]) -> None:
        for e in ir.walk(*exprs):
            if isinstance(e, ir.Which):
                found.add(e)
            for axis in ir.axes_in(e):
                stand(axis)

    look(roots)
    for axis in axes:
        stand(axis)
    return frozenset(found)


def of_output(o: ir.Output) -> frozenset[ir.Which]:
    """The copies on which anything that an output stores depends."""
    exprs = [*o.columns, *(v for _, v in o.parts), *([] if o.where is None else [o.where])]
    exprs += [] if o.put is None else [*o.put.index]
    if isinstance(o.tail, ir.Fill):
        exprs += [e for e in (o.tail.value, o.tail.until) if e is not None]
    return mentioned(exprs, (o.axis, o.source, *(part for part, _ in o.parts)))


def of_update(u: ir.Update) -> frozenset[ir.Which]:
    """The copies on which a change of a state depends."""
    return mentioned((*u.index, u.value, *([] if u.where is None else [u.where])), (u.axis,))


def dimensions(
    which: frozenset[ir.Which], declared: Iterable[ir.Which]
) -> tuple[tuple[ir.Expr, int], ...]:
    """The leading dimensions of a buffer that depends on ``which``, in the order of declaration."""
    return tuple((w, w.count) for w in declared if w in which)


def counts(o: ir.Output) -> tuple[int, ...]:
    """How long the leading dimensions of a buffer are."""
    return tuple(count for _, count in o.copies)


def first_cell(o: ir.Output, cells: int) -> ir.Expr | None:
    """Where the copy that ``o`` fills begins in its buffer, ``cells`` for each copy; None: at 0."""
    place: ir.Expr | None = None
    quiet = o.loc.unnamed()
    for at, (number, _) in enumerate(o.copies):
        step = cells * prod(counts(o)[at + 1 :])
        if isinstance(number, ir.Const):
            term: ir.Expr = ir.Const(number.value * step, loc=quiet)
        else:
            term = ir.Bin(ir.Op.MUL, number, ir.Const(step, loc=quiet), loc=quiet)
        place = term if place is None else ir.Bin(ir.Op.ADD, place, term, loc=quiet)
    return place
