"""Capacities: every axis and dimension gets the number of points that its buffers can hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod

from metaplan import catalogue, ir
from metaplan.copies import counts
from metaplan.exact import Exact
from metaplan.passes.apart import Apart
from metaplan.passes.rewrite import Rewriter
from metaplan.ranges import UNKNOWN, Ranges

LIMIT = 1 << 31
"""Places are int32."""


def bind(plan: ir.Plan, sizes: Mapping[str, int]) -> ir.Plan:
    """``plan`` with ``sizes`` and what follows from them; a dimension nobody gave is derived."""
    known = _names(plan)
    for name, value in sizes.items():
        if name not in known:
            raise catalogue.unknown_size(plan.name, name, known)
        whole = isinstance(value, int) and not isinstance(value, bool)  # pyright: ignore[reportUnnecessaryIsInstance]
        if not whole or not 1 <= value < LIMIT:
            raise catalogue.bad_size(name, value)
    missing = [n for n in plan.root_names() if n not in sizes]
    if missing:
        raise catalogue.missing_sizes(plan.name, missing)
    exact = [n for n, value in sizes.items() if isinstance(value, Exact)]
    for name in exact:
        if name not in plan.root_names():
            raise catalogue.exact_size_of_no_root(name, plan.root_names())
    for kernel in plan.opaques:
        asked = [r.name for r in kernel.reads if r.kind is ir.Held.LIVE and r.name in exact]
        if asked:
            raise catalogue.opaque_reads_exact(kernel.name, asked[0], kernel.loc)
    bound = Rewriter(axis_rule=lambda a: _given(a, sizes)).plan(plan)
    dims = {**{n: int(size) for n, size in sizes.items()}, **{w.name: w.count for w in plan.copies}}
    _derive(bound, dims)
    bound = Rewriter(axis_rule=lambda a: _given(a, dims)).plan(bound)
    bound = Rewriter(axis_rule=lambda a: _bounded(a, Apart(plan.copies))).plan(bound)
    for axis in bound.axes:
        points = Ranges().points(axis)
        if points >= LIMIT:
            raise catalogue.too_many_points(axis.name, points, axis.loc)
    for o in bound.outputs:
        cells = len(o.columns) * (_capacity(o.axis) if o.axis is not None else 1) + o.fences
        cells *= prod(counts(o))
        if cells >= LIMIT:
            raise catalogue.too_many_points(f"the buffer {o.name}", cells, o.loc)
    bound = replace(bound, outputs=tuple(map(_celled, bound.outputs)))
    every = {a.name: _capacity(a) for a in bound.axes} | dims
    return replace(bound, sizes=tuple(sorted(every.items())))


def _names(plan: ir.Plan) -> list[str]:
    names = [a.name for a in plan.axes if not isinstance(a, ir.Part)]
    names += [str(d) for i in plan.inputs for d in i.dims if isinstance(d, str)]
    names += [a.width for a in plan.axes if isinstance(a, ir.Dense) and isinstance(a.width, str)]
    copies = {w.name for w in plan.copies}
    return [n for n in dict.fromkeys(names) if n not in copies]


def _given(axis: ir.Axis, sizes: Mapping[str, int]) -> ir.Axis:
    match axis:
        case ir.Root(name) if isinstance(sizes.get(name), Exact):
            return ir.Dense(name, None, int(sizes[name]), loc=axis.loc)
        case ir.Root(name) | ir.Ragged(name) if name in sizes:
            return replace(axis, capacity=sizes[name])
        case ir.Dense(_, _, str(width)) if width in sizes:
            return replace(axis, width=sizes[width])
        case _:
            return axis


def _derive(plan: ir.Plan, dims: dict[str, int]) -> None:
    """Dimensions nobody gave: as large as the largest index that the plan can use."""
    ranges = Apart(plan.copies)
    needed: dict[str, int] = {}
    for e in ir.walk(*ir.exprs(plan)):
        if isinstance(e, ir.Load):
            for dim, index in zip(e.source.dims, e.index, strict=True):
                if isinstance(dim, str) and dim not in dims:
                    hi = ranges.of(index, ranges.facts(e.guard)).hi
                    if hi < 1 << 40:
                        needed[dim] = max(needed.get(dim, 1), hi + 1)
    for axis in plan.axes:
        if axis.name in needed:
            needed.pop(axis.name)
    dims |= needed
    used = [d for i in plan.inputs for d in i.dims if isinstance(d, str)]
    used += [a.width for a in plan.axes if isinstance(a, ir.Dense) and isinstance(a.width, str)]
    names = {a.name for a in plan.axes}
    lost = [d for d in dict.fromkeys(used) if d not in dims and d not in names]
    if lost:
        raise catalogue.missing_sizes(plan.name, lost)


def _bounded(axis: ir.Axis, ranges: Ranges) -> ir.Axis:
    """A ragged axis whose rows are bounded, and whose length keeps to that bound."""
    match axis:
        case ir.Ragged(_, above, length, _, capacity):
            span = ranges.of(length)
            if span.lo < 0:
                raise catalogue.length_negative(axis.name, span.lo, axis.loc)
            bound = ranges.bound(axis)
            if bound >= LIMIT - 1:
                raise catalogue.unbounded_row(axis.name, axis.loc)
            if capacity is not None and bound > capacity:
                raise catalogue.row_above_capacity(axis.name, bound, capacity, axis.loc)
            room = min(ranges.capacity(above) * bound, LIMIT)
            return replace(axis, most=bound, capacity=room if capacity is None else capacity)
        case ir.Part(_, _, _, length):
            span = ranges.of(length)
            if span.lo < 0:
                raise catalogue.length_negative(axis.name, span.lo, axis.loc)
            return replace(axis, most=min(span.hi, UNKNOWN.hi))
        case _:
            return axis


def _celled(o: ir.Output) -> ir.Output:
    """``o`` whose tail knows how many cells there are."""
    if not isinstance(o.tail, ir.Fill) or o.axis is None:
        return o
    cell = ir.Cell(max(_capacity(o.axis) - 1, 0))
    bound = Rewriter(
        lambda e: replace(cell, loc=e.loc) if isinstance(e, ir.Cell) and e != cell else None
    )
    return replace(o, tail=replace(o.tail, value=bound.expr(o.tail.value)))


def _capacity(axis: ir.Axis) -> int:
    return Ranges().capacity(axis)
