"""Intervals proved copy by copy: a page size and what is divided by it belong together."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

from metaplan import ir
from metaplan.copies import mentioned
from metaplan.linear import Linear, linear
from metaplan.passes.rewrite import Rewriter
from metaplan.passes.unroll import at_copy
from metaplan.ranges import Facts, Interval, Ranges


class Apart(Ranges):
    """The intervals of a plan with copies: what holds in each, joined."""

    def __init__(self, copies: Iterable[ir.Which]) -> None:
        super().__init__()
        self._copies = tuple(copies)
        self._every: dict[tuple[tuple[ir.Which, int], ...], Rewriter] = {}

    def of(self, e: ir.Expr, given: Facts = ()) -> Interval:
        if not self._copies or (e, given) in self._known:
            return super().of(e, given)
        which = mentioned((e, *(atom for fact in given for atom, _ in fact.terms)))
        own = [w for w in self._copies if w in which]
        if not own:
            return super().of(e, given)
        found: Interval | None = None
        for numbers in product(*(range(w.count) for w in own)):
            copy = self._copy(tuple(zip(own, numbers, strict=True)))
            span = super().of(copy.expr(e), tuple(_fact(copy, fact) for fact in given))
            found = span if found is None else found | span
        assert found is not None
        return found

    def _copy(self, numbers: tuple[tuple[ir.Which, int], ...]) -> Rewriter:
        if numbers not in self._every:
            self._every[numbers] = at_copy(dict(numbers))
        return self._every[numbers]


def _fact(copy: Rewriter, fact: Linear) -> Linear:
    """The same fact of one copy."""
    total = Linear(fact.const)
    for atom, k in fact.terms:
        total += linear(copy.expr(atom)).scaled(k)
    return total
