"""The meaning of a plan, in NumPy. Slow, obvious, and what every kernel is tested against."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import product
from typing import Any, TypeAlias

import numpy as np

from metaplan import copies, interp_rows, ir
from metaplan.elements import apply as apply
from metaplan.elements import scatter as scatter
from metaplan.interp_shared import Shared
from metaplan.ir import Combine
from metaplan.points import Points as Points
from metaplan.points import combine, overfull
from metaplan.promises import broken

Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"


def buffer_shape(plan: ir.Plan, o: ir.Output) -> tuple[int, ...]:
    """The shape of an output's buffer at the plan's capacities, copies first."""
    return (*copies.counts(o), *copy_shape(plan, o))


def copy_shape(plan: ir.Plan, o: ir.Output) -> tuple[int, ...]:
    """The shape of what one copy fills."""
    if o.axis is None:
        return (1,)
    rows = plan.size(o.axis.name)
    shape: tuple[int, ...] = (rows + o.fences,)
    if isinstance(o.axis, ir.Dense) and o.axis.parent is not None and not o.fences:
        assert isinstance(o.axis.width, int)
        shape = (rows // o.axis.width, o.axis.width)
    return (*shape, len(o.columns)) if len(o.columns) > 1 else shape


def run(
    plan: ir.Plan,
    inputs: Mapping[str, Any],
    live: Mapping[str, int],
    buffers: Mapping[str, Array],
) -> Counter[str]:
    """Fills ``buffers`` and updates the states among ``inputs``, in place.

    Args:
        plan: a plan whose sizes are bound.
        inputs: an array for each input, a list of arrays for a list; scalars have one element.
        live: the live number of each root axis.
        buffers: an array of the capacity for each output; what a tail keeps is kept.

    Returns:
        How often the data broke a promise, by message.
    """
    every = product(*(range(w.count) for w in plan.copies))
    runs = [_Run(plan, inputs, live, dict(zip(plan.copies, n, strict=True))) for n in every]
    changes = [change for r in runs for change in r.changes()]
    for r in runs:
        r.fill(buffers)
    for kernel in plan.opaques:
        _opaque(kernel, inputs, live, buffers)
    for target, where, value, how in changes:
        scatter(inputs[target], where, value, how)
    return broken((run.copy, run.bad) for run in runs)


def _opaque(
    kernel: ir.Opaque,
    inputs: Mapping[str, Any],
    live: Mapping[str, int],
    buffers: Mapping[str, Array],
) -> None:
    """What a kernel of the user's own does, as the user says it in NumPy."""
    held: dict[ir.Held, Mapping[str, Any]] = {
        ir.Held.INPUT: inputs,
        ir.Held.LIVE: live,
        ir.Held.OUTPUT: buffers,
    }
    reads = [held[r.kind][r.name] for r in kernel.reads]
    kernel.meaning(*reads, **{key: buffers[output] for key, output in kernel.writes})


class _Run:
    """The copy of a plan that has the numbers ``copy``."""

    def __init__(
        self,
        plan: ir.Plan,
        inputs: Mapping[str, Any],
        live: Mapping[str, int],
        copy: Mapping[ir.Which, int] | None = None,
    ) -> None:
        self.plan, self.inputs, self.live, self.copy = plan, inputs, live, copy or {}
        self._points: dict[ir.Axis, Points] = {}
        self._scans: dict[ir.Expr, Array] = {}
        self._own: dict[ir.Expr, Array] = {}
        self._shared = Shared()
        self.bad: dict[tuple[ir.Node, str], set[int]] = {}
        self.bound: dict[ir.Expr, Array] = {}
        """What Given, Trial and Carry stand for right now."""

    # -------------------------------------------------------------- axes

    def points(self, axis: ir.Axis | None) -> Points:
        if axis is None:
            return Points(1, {}, {})
        if axis not in self._points:
            self._points[axis] = self._enumerate(axis)
        return self._points[axis]

    def _enumerate(self, axis: ir.Axis) -> Points:
        if isinstance(axis, ir.Root):
            every = np.arange(self.live[axis.name], dtype=np.int64)
            return Points(len(every), {axis: every}, {axis: every})
        above = self.points(ir.parent(axis))
        lengths = self._lengths(axis, above)
        start = np.cumsum(lengths) - lengths
        row = np.repeat(np.arange(above.count), lengths)
        offset = np.arange(int(lengths.sum())) - start[row]
        if isinstance(axis, ir.Part):
            first = self.points(axis.whole.parent)
            begin = self.eval(ir.Scan(axis.whole.length, axis.whole.parent), first)
            index = begin[row] + self.eval(axis.before, first)[row] + offset
        else:
            index = start[row] + offset
        return Points(
            len(row),
            {a: v[row] for a, v in above.index.items()} | {axis: index},
            {a: v[row] for a, v in above.offset.items()} | {axis: offset},
        )

    def _lengths(self, axis: ir.Axis, above: Points) -> Array:
        if isinstance(axis, ir.Dense):
            assert isinstance(axis.width, int)
            return np.full(above.count, axis.width, np.int64)
        assert isinstance(axis, ir.Ragged | ir.Part)
        return self.eval(axis.length, above).astype(np.int64)

    # ------------------------------------------------------- expressions

    def eval(self, e: ir.Expr, at: Points, taken: Array | None = None) -> Array:
        """``e`` at every point, in its dtype; only points ``taken`` are read."""
        outer, self._shared = self._shared, Shared(e)
        value = self.inside(e, at, np.ones(at.count, bool) if taken is None else taken)
        self._shared = outer
        return value

    def inside(self, e: ir.Expr, at: Points, taken: Array) -> Array:
        """The same of a part of what is evaluated at these points right now."""

        def value(taken: Array) -> Array:
            found = self._eval(e, at, taken)
            return np.broadcast_to(found, (at.count,)).astype(ir.dtype_of(e).value)

        return self._shared.value(e, taken, value)

    def _eval(self, e: ir.Expr, at: Points, taken: Array) -> Array:
        match e:
            case ir.Const(value):
                return np.asarray(value)
            case ir.Size(axis):
                return np.asarray(self.points(axis).count)
            case ir.Offset(axis):
                return at.offset[axis]
            case ir.Index(axis):
                return at.index[axis]
            case ir.Cell():
                return at.cell
            case ir.Load():
                return self._load(e, at, taken)
            case ir.Bin(op, a, b):
                return apply(op, self.inside(a, at, taken), self.inside(b, at, taken))
            case ir.Not(of):
                return ~self.inside(of, at, taken)
            case ir.Where(cond, then, other):
                chosen = self.inside(cond, at, taken)
                yes = self.inside(then, at, taken & chosen)
                return np.where(chosen, yes, self.inside(other, at, taken & ~chosen))
            case ir.Cast(of):
                return self.inside(of, at, taken)
            case ir.Expect(of, lo, hi):
                value = self.inside(of, at, taken)
                bad = taken & ((value < lo) | (value > hi))
                self._count(e, f"outside [{lo}, {hi}]", _own(at, ir.axis_of(of), bad))
                return np.clip(value, lo, hi)
            case ir.Scan(of, over):
                return self._scan(of, over)[self.number(over, at)]
            case ir.Reduce(op, of, over, to):
                every = self.points(over)
                value = self.eval(of, every)
                if to is None:
                    return combine(op, value, np.zeros(every.count, np.int64), 1)
                rows = self.points(to)
                found = combine(op, value, self.number(to, every), rows.count)
                return found[self.number(to, at)]
            case ir.Given() | ir.Trial() | ir.Carry():
                return self.bound[e]
            case ir.Distinct(of):
                return self.inside(of, at, taken)
            case ir.Choice(of, values):
                return np.asarray(values)[np.clip(self.inside(of, at, taken), 0, len(values) - 1)]
            case ir.At(of, axis, index, other):
                place = self.inside(index, at, taken).astype(np.int64)
                self.asked(axis)
                count = self.points(axis).count
                value = np.append(self._at_own(of, axis), np.asarray(other, ir.dtype_of(of).value))
                return value[np.where((place >= 0) & (place < count), place, count)]
            case ir.Across() | ir.Bisect() | ir.RowScan() | ir.Sort() | ir.Fold():
                return self._looking(e, at)
            case ir.Which():
                return np.asarray(self.copy[e])

    def _looking(
        self, e: ir.Across | ir.Bisect | ir.RowScan | ir.Sort | ir.Fold, at: Points
    ) -> Array:
        """What looks at other points: computed for all points of its own axis, once."""
        bound = self.bound
        if not any(x in bound for x in ir.walk(e)):
            self.bound = {}
        elif isinstance(e, ir.Across | ir.Bisect):
            return self._look(e, at)
        own = ir.axis_of(e)
        value = self._at_own(e, own)
        self.bound = bound
        return value[self.number(own, at)] if own is not None else value

    def number(self, axis: ir.Axis, at: Points) -> Array:
        """Which of the live points of ``axis`` each one is; those of a part are stored among others."""
        every = self.points(axis).index[axis] if isinstance(axis, ir.Part) else None
        return at.index[axis] if every is None else np.searchsorted(every, at.index[axis])

    def _at_own(self, e: ir.Expr, axis: ir.Axis | None) -> Array:
        """``e`` at every point of ``axis``."""
        looks = isinstance(e, ir.Across | ir.Bisect | ir.RowScan | ir.Sort | ir.Fold)
        if not looks:
            return self.eval(e, self.points(axis))
        if self.bound:
            return self._look(e, self.points(axis))
        if e not in self._own:
            self._own[e] = self._look(e, self.points(axis))
        return self._own[e]

    def _look(self, e: ir.Expr, at: Points) -> Array:
        match e:
            case ir.Across():
                return interp_rows.across(self, e, at)
            case ir.Bisect():
                return interp_rows.bisect(self, e, at)
            case ir.RowScan():
                return interp_rows.row_scan(self, e)
            case ir.Sort():
                return interp_rows.sort(self, e)
            case ir.Fold():
                return interp_rows.fold(self, e)
            case _:
                raise AssertionError(type(e).__name__)

    def _scan(self, of: ir.Expr, over: ir.Axis) -> Array:
        key = ir.Scan(of, over)
        if self.bound or key not in self._scans:
            value = self.eval(of, self.points(over))
            self._scans[key] = np.cumsum(value, dtype=value.dtype) - value
        return self._scans[key]

    def _load(self, e: ir.Load, at: Points, taken: Array) -> Array:
        array = self.inputs[e.source.name]
        if e.guard is not None:
            taken = taken & self.inside(e.guard, at, taken)
        index = [self.inside(i, at, taken).astype(np.int64) for i in e.index]
        inside = self._inside(e.source, index)
        bad = _own(at, ir.axis_of(e), taken & ~inside)
        self._count(e, f"index outside {e.source.name}", bad)
        taken = taken & inside
        out = np.full(at.count, e.other, e.source.dtype.value)
        if not index:
            out[taken] = array.reshape(-1)[0]
        elif e.source.each:
            for number in np.unique(index[0][taken]):
                here = taken & (index[0] == number)
                out[here] = array[number][tuple(i[here] for i in index[1:])]
        else:
            out[taken] = array[tuple(i[taken] for i in index)]
        return out

    def _inside(self, source: ir.Input, index: list[Array]) -> Array:
        """At which points every index lies in the array."""
        pairs = zip(self.plan.extents(source), index, strict=True)
        tests = [(i >= 0) & (i < extent) for extent, i in pairs]
        return np.logical_and.reduce(tests) if tests else np.asarray(True)

    def asked(self, axis: ir.Axis) -> None:
        """Counts the points that an axis above ``axis``, or itself, has beyond its capacity: nobody can ask them."""
        for a in ir.chain(axis):
            if isinstance(a, ir.Ragged) and self.points(a).count > self.plan.size(a.name):
                outside = np.arange(self.plan.size(a.name), self.points(a).count)
                self._count(a, overfull(a), outside)

    def _count(self, at: ir.Node, message: str, points: Array) -> None:
        """Remembers at which points the data broke a promise, however often they are evaluated."""
        if points.size:
            self.bad.setdefault((at, message), set()).update(points.tolist())

    def once(self, which: frozenset[ir.Which]) -> bool:
        """Whether this copy is the one that computes what depends on ``which`` only."""
        return all(w in which or not number for w, number in self.copy.items())

    # ----------------------------------------------------------- outputs

    def changes(self) -> list[tuple[str, tuple[Array, ...], Array, Combine]]:
        return [self._change(u) for u in self.plan.updates if self.once(copies.of_update(u))]

    def fill(self, buffers: Mapping[str, Array]) -> None:
        for o in self.plan.outputs:
            if self.once(copies.of_output(o)):
                own = tuple(int(self.eval(n, self.points(None))[0]) for n, _ in o.copies)
                self._output(o, buffers[o.name][own])

    def _change(self, u: ir.Update) -> tuple[str, tuple[Array, ...], Array, Combine]:
        at = self.points(u.axis)
        taken = np.ones(at.count, bool)
        if u.where is not None:
            taken = self.eval(u.where, at)
        index = [self.eval(i, at, taken).astype(np.int64) for i in u.index]
        inside = self._inside(u.target, index)
        self._count(u, f"index outside {u.target.name}", np.flatnonzero(taken & ~inside))
        taken = taken & inside
        value = self.eval(u.value, at, taken)[taken]
        where = tuple(i[taken] for i in index) or (np.zeros(len(value), np.int64),)
        return u.target.name, where, value, u.combine

    def _put(self, o: ir.Output, put: ir.Put, buffer: Array) -> None:
        cells = buffer.reshape(-1)
        if isinstance(o.tail, ir.Fill):
            everywhere = np.arange(len(cells))
            cells[:] = self.eval(o.tail.value, Points(len(cells), {}, {}, everywhere))
        at = self.points(put.axis)
        taken = np.ones(at.count, bool) if o.where is None else self.eval(o.where, at)
        indices = [self.eval(i, at, taken).astype(np.int64) for i in put.index]
        pairs = zip(ir.put_extents(self.plan, o), indices, strict=True)
        inside = np.logical_and.reduce([(i >= 0) & (i < extent) for extent, i in pairs])
        place = indices[0] if len(indices) == 1 else indices[0] * o.width + indices[1]
        self._count(o, f"place outside {o.name}", np.flatnonzero(taken & ~inside))
        taken = taken & inside
        value = self.eval(o.columns[0], at, taken)[taken]
        scatter(cells, (place[taken],), value, put.combine)

    def _output(self, o: ir.Output, buffer: Array) -> None:
        if o.put is not None:
            self._put(o, o.put, buffer)
            return
        width = max(len(o.columns), 1)
        cells = buffer.reshape(-1, width)
        pairs = o.parts or tuple((o.axis, c) for c in o.columns)
        for column, (axis, value) in enumerate(pairs):
            at = self.points(axis)
            taken = np.ones(at.count, bool) if o.where is None else self.eval(o.where, at)
            place = at.index[axis] if axis is not None else np.zeros(1, np.int64)
            outside = taken & (place >= len(cells) - o.fences)
            self._count(axis or o, overfull(axis), np.flatnonzero(outside))
            taken = taken & ~outside
            cells[place[taken], 0 if o.parts else column] = self.eval(value, at, taken)[taken]
        if isinstance(o.tail, ir.Fill):
            self._tail(o, o.tail, cells)

    def _tail(self, o: ir.Output, tail: ir.Fill, cells: Array) -> None:
        capacity = len(cells)
        first = min(self.points(o.axis).count, capacity)
        until = capacity
        if tail.until is not None:
            wanted = int(self.eval(tail.until, Points(1, {}, {}))[0]) * self._per_row(o)
            until = min(max(wanted + o.fences, first), capacity)
        index = np.arange(first, until)
        at = Points(len(index), {}, {}, index)
        cells[first:until] = self.eval(tail.value, at)[:, None]

    def _per_row(self, o: ir.Output) -> int:
        """``until`` counts rows of the parent for a dense axis, points for the others and for an indptr."""
        dense = isinstance(o.axis, ir.Dense) and o.axis.parent is not None and not o.fences
        return o.axis.width if dense and isinstance(o.axis.width, int) else 1  # pyright: ignore


def _own(at: Points, axis: ir.Axis | None, bad: Array) -> Array:
    """The points of ``axis`` above the bad ones."""
    if axis is None:
        return np.zeros(int(bad.any()), np.int64)
    return np.unique(at.index[axis][bad])
