"""Which values a launch before must keep, and a plan's expressions reading them.

A program computes values of its own points, and can pass over the points of an axis once. What needs more on the way (the
points before, in a sum; a row in order, from another axis; a sum at another point) is stored for every point by an
earlier launch and read as an input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from metaplan import catalogue, ir
from metaplan.ir import Combine, Op, When
from metaplan.looking import bound_elsewhere, sequence, updated
from metaplan.naming import assigned_name
from metaplan.passes.counting import Blocks, Counting
from metaplan.passes.elsewhere import both, inlined, left_before, moved
from metaplan.passes.place import index
from metaplan.passes.rewrite import Rewriter
from metaplan.passes.room import cells, grid, padded
from metaplan.passes.simplify import Simplify, stored_at
from metaplan.ranges import Ranges
from metaplan.sums import frame, members, plainly_one

Above = tuple[ir.Axis, ...]
ONE_TILE = 1024
"""Points that every program looks at again rather than wait for a launch that keeps what they come to."""


class Keeper:
    """Rewrites expressions for the place where they are computed; collects what is kept."""

    def __init__(self, plan: ir.Plan, blocks: Blocks) -> None:
        self.ranges = Ranges()
        self.levels: dict[str, int] = {}
        """Of each buffer between launches, the launch that fills it."""
        self.stored: list[tuple[ir.Input, ir.Output]] = []
        self.shapes: list[ir.Dense] = []
        self.read({})
        self.apart: frozenset[ir.Axis] = frozenset()
        """Axes along which only what is carried is computed: the rest reads it in the next launch."""
        self._folding = 0
        self._along: ir.Expr | None = None
        self._made: ir.Expr | None = None
        """What a launch of its own computes to keep it."""
        self._updated = updated(plan)
        self._taken = {x.name for x in (*plan.inputs, *plan.axes, *plan.outputs)}
        self._axes: dict[ir.Axis, ir.Axis] = {}
        self._sources: dict[tuple[ir.Expr, ir.Axis | None, bool], ir.Input] = {}
        self._known: dict[object, ir.Expr] = {}
        self._tidy = Rewriter(Simplify(self.ranges).rule).expr
        self._counting = Counting(self, plan, blocks)

    def read(self, ready: Mapping[ir.Expr, int]) -> None:
        """``ready`` may be read instead of computed from now on, where that makes nothing wait."""
        self.ready = ready
        self._readable = frozenset(ready)

    # --------------------------------------------------------------- axes

    def axis(self, a: ir.Axis) -> ir.Axis:
        if a not in self._axes:
            self._axes[a] = self._axis(a)
        return self._axes[a]

    def _axis(self, a: ir.Axis) -> ir.Axis:
        match a:
            case ir.Root():
                return a
            case ir.Dense(_, above):
                return replace(a, parent=self.axis(above) if above is not None else None)
            case ir.Ragged(_, above, length):
                return replace(a, parent=self.axis(above), length=self.inside(length))
            case ir.Part(_, whole, before, length):
                new = self.axis(whole)
                assert isinstance(new, ir.Ragged)
                return replace(a, whole=new, before=self.inside(before), length=self.inside(length))

    def place(self, a: ir.Axis | None) -> ir.Axis | None:
        return None if a is None else self.axis(a)

    # ------------------------------------------------------------- values

    def value(self, e: ir.Expr, own: ir.Axis | None, beside: tuple[ir.Expr, ...] = ()) -> ir.Expr:
        """``e`` for a program that computes it at its points of ``own``, and ``beside`` for the same store."""
        outer, carried = self._folding, sequence(frame(own), (e, *beside))
        self._folding = int(carried is not None)
        made = self._value(e, own)
        self._folding = outer
        return made

    def _value(self, e: ir.Expr, own: ir.Axis | None) -> ir.Expr:
        key = self._asked(e, (own,))
        if key not in self._known:
            self._known[key] = self._computed(e, own)
        return self._known[key]

    def _asked(self, e: ir.Expr, place: object) -> object:
        """What becomes of ``e`` at one place is the same whoever asks: by what it is known."""
        return e, place, self._folding, self._along, self._made, self._readable, self.apart

    def _computed(self, e: ir.Expr, own: ir.Axis | None) -> ir.Expr:
        if e in self.ready:
            return self.keep(e, ir.axis_of(e))

        def here(x: ir.Expr) -> ir.Expr:
            return self._value(x, own)

        match e:
            case ir.Scan(of, over):
                along = self._folding and frame(over) == frame(own) and e != self._made
                if along and self._summed(of, over):
                    return self.keep(e, over)
                return replace(e, of=self.inside(of), over=self.axis(over))
            case ir.Reduce(_, of, over, to):
                rows = to is not None
                inner = self.inside(of, ir.chain(to), rows)
                return replace(e, of=inner, over=self.axis(over), to=self.place(to))
            case ir.Across():
                return self._counting(e, own) or self.swept(e, own)
            case ir.At():
                return self._elsewhere(e, here(e.index))
            # a short row is summed up again for the points below it
            case ir.RowScan(of, over) if frame(over)[-1] in frame(own)[:-1] and self._tile(over):
                inner = self.inside(of, ir.chain(ir.parent(over)), rows=True)
                return replace(e, of=inner, over=self.axis(over))
            case ir.RowScan(of, over) | ir.Sort(of, over):
                ordered = isinstance(e, ir.Sort) and (self._folding or self._owned(over))
                if frame(own)[-1:] != frame(over)[-1:] or ordered:
                    return self.keep(e, over)
                outer, self._along = self._along, e
                inner = here(of)
                self._along = outer
                return replace(e, of=inner, over=self.axis(over))
            case ir.Fold(axis, inits, steps, _, _, when):
                if axis in self.apart and when is When.BEFORE:
                    return self._before(e)
                own_axis = ir.parent(axis) if when is When.LAST else axis
                past = self._along is not None and when is When.LAST
                elsewhere = past or axis in self.apart or frame(own_axis) != frame(own)
                if (
                    elsewhere
                    or isinstance(self._along, ir.Sort)
                    or (self._owned(axis) and own is not None)
                ):
                    return self.keep(e, own_axis)
                inits = tuple(map(here, inits))
                steps = tuple(self._stepped(x, axis) for x in steps)
                return replace(e, axis=self.axis(axis), inits=inits, steps=steps)
            case ir.Bisect() if own is not None and not self._searched(e):
                return self.keep(e, None)
            case _:
                return self._rebuilt(e, tuple(here(c) for c in ir.children(e)))

    def _before(self, e: ir.Fold) -> ir.Expr:
        """What is carried to a point of a fold of the batch: what the point before has left."""
        place, source = self.tidy_index(e.axis), self.source(replace(e, when=When.AFTER), e.axis)
        return left_before(e, place, source, self._value(e.inits[e.at], None))

    def _stepped(self, e: ir.Expr, axis: ir.Axis) -> ir.Expr:
        """A step reads what is sorted from memory: no row lies in its lanes."""
        self._folding += 1
        made = self._value(e, axis)
        self._folding -= 1
        return made

    def _summed(self, of: ir.Expr, over: ir.Axis) -> bool:
        """Whether a sum along a fold's own axis needs more than the rows before and a carry in this one."""
        rows = (x for x in ir.walk(of) if isinstance(x, ir.Reduce) and x.to is not None)
        deep = self._folding > 2 or any(frame(x.over) != frame(x.to) for x in rows)
        return deep and ir.parent(over) is not None

    def _owned(self, axis: ir.Axis) -> bool:
        """Whether ``axis`` is a root whose rows are updated, each by a program that sees no other."""
        return axis in self._updated

    def _tile(self, axis: ir.Axis) -> bool:
        """Whether one tile has all points of a row of ``axis``."""
        return self.ranges.bound(axis) <= ONE_TILE

    def _searched(self, e: ir.Bisect) -> bool:
        """Whether each program may search by itself: what it sums up for each number lies in one tile."""
        sums = (x for x in ir.walk(e.cond) if isinstance(x, ir.Reduce) and x.to is None)
        return ir.axis_of(e) is not None or all(
            self.ranges.points(x.over) <= ONE_TILE for x in sums
        )

    def inside(self, e: ir.Expr, above: Above = (), rows: bool = False) -> ir.Expr:
        """``e`` for a pass over points, under rows of the last axis of ``above`` where ``rows``."""
        key = self._asked(e, (above, rows))
        if key not in self._known:
            self._known[key] = self._inside(e, above, rows)
        return self._known[key]

    def _inside(self, e: ir.Expr, above: Above, rows: bool) -> ir.Expr:
        if e in self.ready:
            return self.keep(e, ir.axis_of(e))
        match e:
            case ir.Scan(of, over):
                if over not in above:
                    return self.keep(e, over)
                return replace(e, of=self.inside(of), over=self.axis(over))
            case ir.Reduce(_, of, over, None):
                return replace(e, of=self.inside(of), over=self.axis(over))
            case ir.Reduce(_, of, over, to):
                if rows and to not in above and not plainly_one(over):
                    return self.keep(e, to)
                held = tuple(a for a in above if a in ir.chain(to))
                inner = self.inside(of, held, rows=True)
                return replace(e, of=inner, over=self.axis(over), to=self.place(to))
            case ir.At():
                return self._elsewhere(e, self.inside(e.index, above, rows))
            case ir.RowScan(_, over) | ir.Sort(_, over):
                return self.keep(e, over)
            case ir.Fold(axis, _, _, _, _, when):
                return self.keep(e, ir.parent(axis) if when is When.LAST else axis)
            case ir.Bisect() if ir.axis_of(e) is None and self._searched(e):
                return self.value(e, None)
            case ir.Across() | ir.Bisect():
                return self.keep(e, ir.axis_of(e))
            case _:
                return self._rebuilt(e, tuple(self.inside(c, above, rows) for c in ir.children(e)))

    def _rebuilt(self, e: ir.Expr, new: tuple[ir.Expr, ...]) -> ir.Expr:
        made = ir.rebuild(e, new)
        match made:
            case ir.Size(axis) | ir.Offset(axis) | ir.Index(axis):
                return replace(made, axis=self.axis(axis))
            case _:
                return made

    # ------------------------------------------------------------- sweeps

    def swept(self, e: ir.Across, own: ir.Axis | None) -> ir.Expr:
        """A sweep reads the points of its axis one tile after the other."""
        return replace(e, of=self._swept(e.of, e.over, own), over=self.axis(e.over))

    def _swept(self, x: ir.Expr, over: ir.Axis, own: ir.Axis | None) -> ir.Expr:
        if isinstance(x, ir.Given):
            return replace(x, of=self.value(x.of, own))
        if isinstance(x, ir.Across):
            return self.keep(x, ir.axis_of(x))
        if ir.asked(x):
            return ir.rebuild(x, tuple(self._swept(c, over, own) for c in ir.children(x)))
        if ir.axis_of(x) is None:
            return self.value(x, None)
        if not grid(over):
            if x in (index(over), stored_at(over, self.ranges)):
                return self.tidy_index(over)
            return ir.Load(self.source(x, over, packed=True), (self.tidy_index(over),), loc=x.loc)
        return self._pointwise(x, over)

    def _pointwise(self, x: ir.Expr, over: ir.Axis) -> ir.Expr:
        """What the sweep itself computes of its axis: pointwise values, and sums along a root."""
        match x:
            case ir.Scan(of, along) if along == over and ir.parent(over) is None:
                return replace(x, of=self.inside(of, (), rows=True), over=self.axis(over))
            case _ if x in self.ready or isinstance(x, _LOOKS):
                own = ir.axis_of(x)
                return self.value(x, None) if own is None else self.keep(x, own)
            case _:
                return self._rebuilt(x, tuple(self._pointwise(c, over) for c in ir.children(x)))

    def tidy_index(self, axis: ir.Axis) -> ir.Expr:
        """Where a point of ``axis`` is stored."""
        return stored_at(self.axis(axis), self.ranges)

    # ------------------------------------------------------------ keeping

    def keep(self, e: ir.Expr, axis: ir.Axis | None) -> ir.Expr:
        """``e`` as what an earlier launch has kept of it at this point."""
        source = self.source(e, axis)
        if axis is None:
            return ir.Load(source, (), loc=e.loc)
        own = self.axis(axis)
        # where an axis selects no point, nothing was kept
        nothing = min(max(0, source.lo or 0), source.hi or 0)
        return ir.Load(source, (padded(own, self.ranges),), members(own), nothing, loc=e.loc)

    def source(self, e: ir.Expr, axis: ir.Axis | None, packed: bool = False) -> ir.Input:
        """The buffer that keeps ``e``: packed as outputs are, or with the same room for each row."""
        packed = packed and not grid(axis)
        if (e, axis, packed) not in self._sources:
            free = bound_elsewhere(e)
            if free is not None:
                raise catalogue.too_deep(free.loc, e.loc)
            outer = self.ready, self.apart, self._updated, self._along, self._made
            self.apart, self._updated, self._along, self._made = frozenset(), [], None, e
            self.read({})
            value, own = self.value(e, axis), self.place(axis)
            ready, self.apart, self._updated, self._along, self._made = outer
            self.read(ready)
            self._sources[e, axis, packed] = self._store(e, value, own, packed)
        return self._sources[e, axis, packed]

    def _store(self, e: ir.Expr, value: ir.Expr, axis: ir.Axis | None, packed: bool) -> ir.Input:
        if packed and isinstance(axis, ir.Part):
            raise catalogue.part_sorted(axis.name, e.loc)
        name, ranges = self.name(_wish(e, axis)), self.ranges
        if axis is not None and not packed:
            return self.store(name, value, axis, padded(axis, ranges), cells(axis, ranges))
        return self._filled(name, value, axis, axis, None)

    def store(
        self, name: str, value: ir.Expr, axis: ir.Axis, place: ir.Expr, cells: int
    ) -> ir.Input:
        """The buffer ``name`` of ``cells`` cells: ``value`` at each point of ``axis``, in the cell ``place``."""
        shape = ir.Dense(f"{name}_cells", None, cells, loc=value.loc)
        self.shapes.append(shape)
        put = ir.Put(axis, (place,), Combine.DISTINCT, loc=value.loc)
        return self._filled(name, value, axis, shape, put)

    def _filled(
        self,
        name: str,
        value: ir.Expr,
        axis: ir.Axis | None,
        shape: ir.Axis | None,
        put: ir.Put | None,
    ) -> ir.Input:
        span, dtype, loc = self.ranges.of(value), ir.dtype_of(value), value.loc
        dims = () if shape is None else (shape.name,)
        source = ir.Input(name, dtype, dims, lo=span.lo, hi=span.hi, loc=loc)
        stored = ir.Output(name, dtype, shape, (value,), ir.Keep(loc=loc), put=put, loc=loc)
        self.levels[name] = max(self.level(value), self.axis_level(axis))
        self.stored.append((source, stored))
        return source

    def kept(self, below: int) -> dict[ir.Expr, int]:
        """What is kept, at its own points, by launches in front of number ``below``."""
        every = [(e, at, i) for (e, at, packed), i in self._sources.items() if not packed]
        levels = {e: self.levels[i.name] for e, at, i in every if at == ir.axis_of(e)}
        return {e: n for e, n in levels.items() if n < below}

    def folds(self) -> frozenset[ir.Axis]:
        """The axes that one program goes along, from end to end, for what is kept of it."""
        every = (e for e, _, _ in self._sources if isinstance(e, ir.Fold))
        return frozenset(e.axis for e in every if ir.parent(e.axis) is None)

    def name(self, wish: str) -> str:
        """A name that nothing of the plan has, for what is kept of ``wish``."""
        name, count = f"{wish}_kept", 1
        while name in self._taken:
            count += 1
            name = f"{wish}_kept_{count}"
        self._taken.add(name)
        return name

    # ---------------------------------------------------- values elsewhere

    def _elsewhere(self, e: ir.At, place: ir.Expr) -> ir.Expr:
        quiet, axis = e.loc.unnamed(), self.axis(e.axis)
        size: ir.Expr = self._tidy(ir.Size(axis, loc=quiet))
        kind = ir.dtype_of(place)
        if kind is ir.DType.I64:
            size = ir.Cast(size, kind, loc=quiet)
        live: ir.Expr = ir.Bin(Op.LT, place, size, loc=quiet)
        room = self.ranges.capacity(axis)
        if self.ranges.points(axis) > room:
            live = both(live, ir.Bin(Op.LT, place, ir.Const(room, kind, loc=quiet), loc=quiet))
        if self.ranges.of(place).lo < 0:
            live = both(ir.Bin(Op.LE, ir.Const(0, kind, loc=quiet), place, loc=quiet), live)
        if inlined(e.of, e.axis):
            other = ir.Const(e.other, ir.dtype_of(e.of), loc=quiet)
            return ir.Where(live, moved(e.of, e.axis, place, live), other, loc=e.loc)
        return ir.Load(self.source(e.of, e.axis, packed=True), (place,), live, e.other, loc=e.loc)

    # ------------------------------------------------------------- levels

    def level(self, *exprs: ir.Expr) -> int:
        """The first launch that can compute them all."""
        found = 0
        for x in ir.walk(*exprs):
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


_LOOKS = ir.Scan | ir.Reduce | ir.RowScan | ir.Sort | ir.Fold | ir.At | ir.Bisect | ir.Across


def _wish(e: ir.Expr, axis: ir.Axis | None) -> str:
    """What people would call ``e`` at the points of ``axis``."""
    if isinstance(e, ir.Fold):
        return f"{e.carries[e.at].name}_{e.when.value}"
    where = axis.name if axis is not None else "batch"
    return assigned_name(e.loc) or f"{where}_{type(e).__name__.lower()}"
