"""The meaning of what looks at other points: sweeps over an axis, searches, folds, sorts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, TypeAlias

import numpy as np

from metaplan import ir
from metaplan.points import Points, combine

Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"
_CHUNK = 1 << 20


class Evaluator(Protocol):
    """What the rules of this file need of the interpreter."""

    bound: dict[ir.Expr, Array]

    def points(self, axis: ir.Axis | None) -> Points: ...
    def eval(self, e: ir.Expr, at: Points, taken: Array | None = None) -> Array: ...
    def asked(self, axis: ir.Axis) -> None: ...
    def number(self, axis: ir.Axis, at: Points) -> Array: ...


def row_scan(run: Evaluator, e: ir.RowScan) -> Array:
    """The exclusive sum along each row, at every point of ``e.over``."""
    every = run.points(e.over)
    value = run.eval(e.of, every)
    before = np.cumsum(value, dtype=value.dtype) - value
    rows, row = _rows(run, e.over, every)
    start = np.zeros(rows, value.dtype)
    first = every.offset[e.over] == 0
    start[row[first]] = before[first]
    return before - start[row]


def sort(run: Evaluator, e: ir.Sort) -> Array:
    """Each row of ``e.over`` in order, at every point."""
    every = run.points(e.over)
    value = run.eval(e.of, every)
    _, row = _rows(run, e.over, every)
    order = np.lexsort((~value if e.descending else value, row))
    return value[order]


def _rows(run: Evaluator, axis: ir.Axis, every: Points) -> tuple[int, Array]:
    """How many rows the points of ``axis`` lie in, and each point's."""
    above = ir.parent(axis)
    if above is None:
        return 1, np.zeros(every.count, np.int64)
    return run.points(above).count, run.number(above, every)


def across(run: Evaluator, e: ir.Across, at: Points) -> Array:
    """``e.of`` combined over all points of ``e.over``, for every point of ``at``."""
    every = run.points(e.over)
    run.asked(e.over)
    asked = {g: run.eval(g.of, at) for g in ir.asked(e.of)}
    dtype = ir.dtype_of(e.of)
    out = np.full(at.count, e.op.identity(dtype), dtype.value)
    if not every.count:
        return out
    for first, last in _chunks(at.count, every.count):
        many = last - first
        kept = dict(run.bound)
        run.bound |= {g: np.repeat(v[first:last], every.count) for g, v in asked.items()}
        value = run.eval(e.of, _tiled(every, many))
        run.bound = kept
        out[first:last] = combine(e.op, value, np.repeat(np.arange(many), every.count), many)
    return out


def _chunks(queries: int, points: int) -> Iterator[tuple[int, int]]:
    each = max(_CHUNK // points, 1)
    for first in range(0, queries, each):
        yield first, min(first + each, queries)


def _tiled(every: Points, times: int) -> Points:
    return Points(
        every.count * times,
        {a: np.tile(v, times) for a, v in every.index.items()},
        {a: np.tile(v, times) for a, v in every.offset.items()},
    )


def bisect(run: Evaluator, e: ir.Bisect, at: Points) -> Array:
    """The smallest number for which the condition holds, at every point of ``at``."""
    lo = run.eval(e.lo, at).astype(np.int64)
    hi = np.maximum(run.eval(e.hi, at).astype(np.int64), lo)
    kept = dict(run.bound)
    while (lo < hi).any():
        middle = (lo + hi) // 2
        run.bound = {**kept, e.trial: middle}
        holds = run.eval(e.cond, at, lo < hi) & (lo < hi)
        lo, hi = np.where(holds | (lo >= hi), lo, middle + 1), np.where(holds, middle, hi)
    run.bound = kept
    return lo


def fold(run: Evaluator, e: ir.Fold) -> Array:
    """What is carried, at every point of the axis, or behind the last one of each row."""
    every = run.points(e.axis)
    rows, row = _rows(run, e.axis, every)
    above = run.points(ir.parent(e.axis))
    carried = [run.eval(i, above) for i in e.inits]
    assert all(len(c) == rows for c in carried)
    out = np.zeros(every.count, carried[e.at].dtype)
    offset = every.offset[e.axis]
    kept = dict(run.bound)
    for place in range(int(offset.max(initial=-1)) + 1):
        here = np.flatnonzero(offset == place)
        own = row[here]
        run.bound = {**kept, **{c: carried[c.at][own] for c in e.carries}}
        new = [run.eval(s, every.taken(here)) for s in e.steps]
        before = carried[e.at][own]
        for c, value in zip(carried, new, strict=True):
            c[own] = value
        out[here] = before if e.when is ir.When.BEFORE else carried[e.at][own]
    run.bound = kept
    return carried[e.at] if e.when is ir.When.LAST else out
