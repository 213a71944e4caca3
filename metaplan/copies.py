"""Copies of a plan: what depends on which copy computes, and where each copy is stored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    return place([number for number, _ in o.copies], counts(o), cells, o.loc.unnamed())


def place(
    numbers: Sequence[ir.Expr], counts: Sequence[int], cells: int, loc: ir.Loc
) -> ir.Expr | None:
    """The first cell of one copy among all: row by row, ``cells`` each."""
    fixed, terms = 0, list[ir.Expr]()
    for at, number in enumerate(numbers):
        each = cells * prod(counts[at + 1 :])
        if isinstance(number, ir.Const):
            fixed += number.value * each
        elif each == 1:
            terms.append(number)
        else:
            terms.append(ir.Bin(ir.Op.MUL, number, ir.Const(each, loc=loc), loc=loc))
    if fixed:
        terms.append(ir.Const(fixed, loc=loc))
    total: ir.Expr | None = None
    for term in terms:
        total = term if total is None else ir.Bin(ir.Op.ADD, total, term, loc=loc)
    return total
