"""What one launch cannot compute by itself is kept by the launch before, in a buffer that nobody else sees.

A program knows its own points and can pass over those of an axis. What needs more than one such pass on the way
(a sum of running sums, a value elsewhere that is itself a sum, a sorted row used on another axis) is stored for every
point by an earlier launch and read as an input by the later one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from metaplan import catalogue, ir
from metaplan.ir import Combine, Op
from metaplan.naming import assigned_name
from metaplan.passes.bind import LIMIT
from metaplan.passes.last import last_wins
from metaplan.passes.needs import kept
from metaplan.passes.place import index
from metaplan.passes.rewrite import Rewriter
from metaplan.passes.simplify import Simplify
from metaplan.ranges import Ranges
from metaplan.sums import frame


@dataclass(frozen=True, slots=True)
class Stages:
    """One plan for each launch, in order, and the buffers between them by name."""

    plans: tuple[ir.Plan, ...]
    kept: frozenset[str]

    @property
    def promises(self) -> tuple[ir.Check, ...]:
        """The checks of all launches, by number."""
        every = [c for p in self.plans for c in p.checks]
        return tuple(sorted(every, key=lambda c: c.number))


def cut(plan: ir.Plan) -> Stages:
    """``plan`` as the launches that it takes: one, unless a value on the way must be kept."""
    numbered = replace(plan, checks=tuple(replace(c, number=n) for n, c in enumerate(plan.checks)))
    return _Cut(*last_wins(numbered)).stages()


# --------------------------------------------------------------- the stages


class _Cut(Rewriter):
    """Rewrites a plan to read what is kept, and says which launch computes what."""

    def __init__(self, whole: ir.Plan, winners: tuple[str, ...]) -> None:
        super().__init__()
        self.whole, self.winners = whole, winners
        self.levels: dict[str, int] = {}
        """Of each buffer between launches, the one that fills it."""
        self.hidden: list[tuple[ir.Input, ir.Output]] = []
        self.shapes: list[ir.Dense] = []
        self._wanted = kept(self.whole)
        self._sources: dict[tuple[ir.Expr, bool], ir.Input] = {}
        self._ranges = Ranges()
        named = (*self.whole.inputs, *self.whole.axes, *self.whole.outputs)
        self._taken = {x.name for x in named}

    def _expr(self, e: ir.Expr) -> ir.Expr:
        match e:
            case ir.At(of, axis, place, other):
                return self._elsewhere(e, of, self.axis(axis), self.expr(place), other)
            case _ if e in self._wanted:
                return self._read(e)
            case ir.Across(_, of, over) if not grid(over):
                return replace(e, of=self._swept(of), over=self.axis(over))
            case _:
                return super()._expr(e)

    def _swept(self, e: ir.Expr) -> ir.Expr:
        """What a sweep reads of the points of a ragged axis, one packed point after the other."""
        if isinstance(e, ir.Given):
            return self.expr(e)
        if e in self._wanted and ir.axis_of(e) is not None:
            axis = self._place(self._wanted[e])
            assert axis is not None
            return ir.Load(self._source(e, packed=True), (self._tidy(index(axis)),), loc=e.loc)
        if ir.asked(e):
            return ir.rebuild(e, tuple(map(self._swept, ir.children(e))))
        return self.expr(e)

    def _read(self, e: ir.Expr) -> ir.Expr:
        """What is kept at this point."""
        axis = self._place(self._wanted[e])
        at = () if axis is None else (padded(axis, self._ranges),)
        return ir.Load(self._source(e), at, loc=e.loc)

    def _source(self, e: ir.Expr, packed: bool = False) -> ir.Input:
        """The buffer that keeps ``e``: packed as outputs are, or with the same room for each row."""
        axis = self._place(self._wanted[e])
        packed = packed and not grid(axis)
        if (e, packed) not in self._sources:
            value = super()._expr(e)
            name = self._name(e, axis)
            shape, put = axis, None
            if axis is not None and not packed:
                shape = ir.Dense(f"{name}_cells", None, cells(axis, self._ranges), loc=e.loc)
                self.shapes.append(shape)
                put = ir.Put(axis, (padded(axis, self._ranges),), Combine.DISTINCT, loc=e.loc)
            dims = () if shape is None else (shape.name,)
            span = self._ranges.of(e)
            dtype = ir.dtype_of(e)
            source = ir.Input(name, dtype, dims, lo=span.lo, hi=span.hi, loc=e.loc)
            keep = ir.Keep(loc=e.loc)
            stored = ir.Output(name, dtype, shape, (value,), keep, put=put, loc=e.loc)
            self._sources[e, packed] = source
            self.levels[name] = max(self.level(value), self.axis_level(axis))
            self.hidden.append((source, stored))
        return self._sources[e, packed]

    def _name(self, e: ir.Expr, axis: ir.Axis | None) -> str:
        kind = type(e).__name__.lower()
        wish = assigned_name(e.loc) or f"{axis.name if axis is not None else 'batch'}_{kind}"
        name, count = f"{wish}_kept", 1
        while name in self._taken:
            count += 1
            name = f"{wish}_kept_{count}"
        self._taken.add(name)
        return name

    def _tidy(self, e: ir.Expr) -> ir.Expr:
        return Rewriter(Simplify(self._ranges).rule).expr(e)

    def _elsewhere(
        self, e: ir.At, of: ir.Expr, axis: ir.Axis, place: ir.Expr, other: int
    ) -> ir.Expr:
        quiet = e.loc.unnamed()
        zero: ir.Expr = ir.Const(0, ir.dtype_of(place), loc=quiet)
        size: ir.Expr = self._tidy(ir.Size(axis, loc=quiet))
        if ir.dtype_of(place) is ir.DType.I64:
            size = ir.Cast(size, ir.DType.I64, loc=quiet)
        live: ir.Expr = ir.Bin(Op.LT, place, size, loc=quiet)
        room = self._ranges.capacity(axis)
        if self._ranges.points(axis) > room:
            end = ir.Const(room, ir.dtype_of(place), loc=quiet)
            live = ir.Bin(Op.AND, live, ir.Bin(Op.LT, place, end, loc=quiet), loc=quiet)
        if self._ranges.of(place).lo < 0:
            live = ir.Bin(Op.AND, ir.Bin(Op.LE, zero, place, loc=quiet), live, loc=quiet)
        if of not in self._wanted:
            return ir.Where(
                live,
                _moved(self.expr(of), axis, place, live),
                ir.Const(other, ir.dtype_of(of), loc=quiet),
                loc=e.loc,
            )
        return ir.Load(self._source(of, packed=True), (place,), live, other, loc=e.loc)

    # ------------------------------------------------------------ levels

    def level(self, e: ir.Expr) -> int:
        """The first launch that can compute ``e``."""
        found = 0
        for x in ir.walk(e):
            if isinstance(x, ir.Load) and x.source.name in self.levels:
                found = max(found, self.levels[x.source.name] + 1)
            for axis in ir.axes_in(x):
                found = max(found, self.axis_level(axis))
        return found

    def axis_level(self, axis: ir.Axis | None) -> int:
        found = 0
        for a in ir.chain(axis):
            if isinstance(a, ir.Ragged | ir.Part):
                found = max(found, self.level(a.length))
            if isinstance(a, ir.Part):
                found = max(found, self.level(a.before), self.axis_level(a.whole))
        return found

    def _output_level(self, o: ir.Output) -> int:
        exprs = [*o.columns, *(v for _, v in o.parts)]
        exprs += [] if o.where is None else [o.where]
        exprs += [] if o.put is None else [*o.put.index]
        if isinstance(o.tail, ir.Fill):
            exprs += [e for e in (o.tail.value, o.tail.until) if e is not None]
        axes = [o.source, o.axis, *(part for part, _ in o.parts)]
        return max(*map(self.level, exprs), *map(self.axis_level, axes), 0)

    def stages(self) -> Stages:
        made = self.plan(self.whole)
        outputs: dict[int, list[ir.Output]] = {}
        for o in sorted(made.outputs, key=lambda o: o.name not in self.winners):
            for level, part in self._parted(o):
                outputs.setdefault(level, []).append(part)
                if o.name in self.winners:
                    self.levels[o.name] = level
        for _, stored in self.hidden:
            outputs.setdefault(self.levels[stored.name], []).append(stored)
        checks: dict[int, list[ir.Check]] = {}
        for c in (*made.checks, *self._overfull(made)):
            level = max(self.level(c.bad), self.axis_level(c.axis))
            checks.setdefault(level, []).append(c)
        last = max([0, *outputs, *checks, *map(self._update_level, made.updates)])
        room = [(a.name, a.width) for a in self.shapes if isinstance(a.width, int)]
        sizes = tuple(sorted((*made.sizes, *room)))
        plans: list[ir.Plan] = []
        for at in range(last + 1):
            ready = [i for i, _ in self.hidden if self.levels[i.name] < at]
            plans.append(
                replace(
                    made,
                    name=made.name if at == last else f"{made.name}_{at + 1}",
                    inputs=(*made.inputs, *ready),
                    axes=tuple(a for a in (*made.axes, *self.shapes) if self.axis_level(a) <= at),
                    outputs=tuple(outputs.get(at, [])),
                    updates=made.updates if at == last else (),
                    checks=tuple(checks.get(at, [])),
                    sizes=sizes,
                )
            )
        return Stages(tuple(plans), frozenset(self.levels))

    def _update_level(self, u: ir.Update) -> int:
        where = () if u.where is None else (u.where,)
        exprs = (*u.index, u.value, *where)
        return max(*map(self.level, exprs), self.axis_level(u.axis))

    def _parted(self, o: ir.Output) -> Iterator[tuple[int, ir.Output]]:
        """An output as what each launch does for it: a scattered one is filled by the launch before."""
        if o.put is None or not isinstance(o.tail, ir.Fill):
            yield self._output_level(o), o
            return
        cells = replace(o, columns=(), where=None)
        yield self._output_level(replace(cells, put=None)), cells
        value = replace(o, tail=ir.Keep(loc=o.tail.loc))
        yield (
            max(self._output_level(value), self._output_level(replace(cells, put=None)) + 1),
            value,
        )

    def _overfull(self, made: ir.Plan) -> Iterator[ir.Check]:
        """A count for each axis whose kept values may need more room than there is."""
        told = {c.message for c in made.checks}
        number = len(made.checks)
        for _, stored in self.hidden:
            for axis in ir.chain(stored.axis):
                if not isinstance(axis, ir.Ragged) or axis.capacity is None:
                    continue
                message = f"more points than the capacity of {axis.name}"
                most = self._ranges.capacity(axis.parent) * self._ranges.bound(axis)
                if most <= axis.capacity or message in told:
                    continue
                told.add(message)
                room = ir.Const(axis.capacity, loc=axis.loc)
                bad = ir.Bin(Op.LE, room, self._tidy(index(axis)), loc=axis.loc)
                yield ir.Check(axis, bad, message, number, loc=axis.loc)
                number += 1


def grid(axis: ir.Axis | None) -> bool:
    """Whether every row of ``axis`` has the same number of points."""
    return all(isinstance(a, ir.Root | ir.Dense) for a in ir.chain(axis))


def padded(axis: ir.Axis, ranges: Ranges) -> ir.Expr:
    """Where a point of ``axis`` is kept when every row has room for its longest."""
    place: ir.Expr | None = None
    for a in frame(axis):
        own: ir.Expr = ir.Offset(a, loc=a.loc)
        if place is not None:
            room = ir.Const(ranges.bound(a), loc=a.loc)
            place = ir.Bin(Op.ADD, ir.Bin(Op.MUL, place, room, loc=a.loc), own, loc=a.loc)
        else:
            place = own
    assert place is not None
    return place


def cells(axis: ir.Axis, ranges: Ranges) -> int:
    """How many places ``padded`` has."""
    total = 1
    for a in frame(axis):
        total *= ranges.bound(a)
    if total >= LIMIT:
        raise catalogue.too_many_points(axis.name, total, axis.loc)
    return total


def _moved(e: ir.Expr, axis: ir.Axis, place: ir.Expr, live: ir.Expr) -> ir.Expr:
    """``e`` at the point ``place`` of its root axis, where such a point is."""
    match e:
        case ir.Offset(own) if own == axis:
            wide = ir.dtype_of(place) is ir.DType.I64
            return ir.Cast(place, ir.DType.I32, loc=e.loc) if wide else place
        case ir.Load(_, at, guard):
            moved = tuple(_moved(i, axis, place, live) for i in at)
            inner = live if guard is None else _both(live, _moved(guard, axis, place, live))
            return replace(e, index=moved, guard=inner)
        case _:
            return ir.rebuild(e, tuple(_moved(c, axis, place, live) for c in ir.children(e)))


def _both(a: ir.Expr, b: ir.Expr) -> ir.Expr:
    return ir.Bin(Op.AND, a, b, loc=b.loc.unnamed())
