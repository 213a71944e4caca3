"""What becomes of an element that several points write."""

from __future__ import annotations

from metaplan import catalogue, ir
from metaplan.errors import Loc
from metaplan.ir import Combine, DType
from metaplan.lang.values import described, name_of
from metaplan.races import distinct

_NUMBERS = frozenset({DType.I32, DType.I64})
_ANY = frozenset({Combine.ONLY, Combine.DISTINCT, Combine.LAST})


def combination(word: str, dtype: DType, loc: Loc) -> Combine:
    """What ``combine=`` says."""
    words = [c.value for c in Combine]
    if word not in words:
        raise catalogue.bad_combine(described(word), words, loc)
    how = Combine(word)
    if how not in _ANY and dtype not in _NUMBERS:
        raise catalogue.combine_dtype(word, dtype.value, loc)
    return how


def alone(
    target: str,
    index: tuple[ir.Expr, ...],
    axis: ir.Axis | None,
    where: ir.Expr | None,
    how: Combine,
    loc: Loc,
) -> None:
    """Raises where two points may write one element and nothing says what becomes of it."""
    if how is Combine.ONLY and not distinct(index, axis, where):
        raise catalogue.collides(target, name_of(axis), loc)


def read_alone(plan: ir.Plan) -> None:
    """Raises where a plan reads an element that several points change: before or after which of them?"""
    shared = {
        u.target: u
        for u in plan.updates
        if u.combine not in (Combine.ONLY, Combine.DISTINCT)
        and not distinct(u.index, u.axis, u.where)
    }
    for e in ir.walk(*ir.exprs(plan)):
        if isinstance(e, ir.Load) and e.source in shared:
            how = shared[e.source].combine
            raise catalogue.combined_and_read(e.source.name, how.value, e.loc)
