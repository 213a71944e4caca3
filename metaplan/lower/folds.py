"""What is carried along an axis: a loop over its places, carries as scalars or as a column of rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from dataclasses import dataclass, field, replace

from metaplan import ir
from metaplan.ir import Op, When
from metaplan.looking import sequence
from metaplan.lower.ahead import AHEAD, Ahead, unhindered
from metaplan.lower.emit import Text
from metaplan.lower.places import spread, walk
from metaplan.lower.scans import Summing
from metaplan.passes import carried
from metaplan.passes.rewrite import Rewriter
from metaplan.program import Let, Stmt
from metaplan.schedule import Work
from metaplan.sums import frame, normal
from metaplan.text import ATOM

Stores = Callable[[Summing, list[Stmt]], None]
_TURNS = AHEAD
"""Places whose lines are written out one after the other: what one does not pass on runs beside the next, and what was
read ahead has gone through all its names."""


# ------------------------------------------------------------------ the loop


@dataclass(slots=True)
class _Carried:
    """One fold: its carries as variables, and what they become at a place."""

    fold: ir.Fold
    names: list[str]

    def field(self, at: int, when: When) -> ir.Fold:
        return replace(self.fold, at=at, when=when)


def folded(tile: Summing, e: ir.Fold) -> Text:
    """The name of what is carried past the last point of each row."""
    assert e.when is When.LAST, "what is carried to a point is stored in the loop"
    above = tile.owner(tile.depth(e))
    assert isinstance(above, Summing)
    running = Rewriter(_Running(e.axis).inside).expr(e)
    above.also([running])
    fold_loop(above, e.axis, (), (running,))
    return _memo(above)[running]


def fold_loop(
    above: Summing,
    axis: ir.Axis,
    points: Iterable[ir.Expr],
    past: Iterable[ir.Expr] = (),
    stores: Stores | None = None,
) -> None:
    """Goes along ``axis`` once for all folds inside ``points``, values of its points, and ``past``, values above.

    ``stores`` writes down what is stored at a place.
    """
    points, past = tuple(points), tuple(past)
    here = dict.fromkeys(_folds(axis, points))
    found = here | dict.fromkeys(_folds(axis, past))
    for init in (i for e in found for i in e.inits):
        above.plain(init)
    every = [_start(above, e) for e in found if e in here or e not in _memo(above)]
    way = walk(above, axis)
    inner, body = way.tile, way.body
    for c in every:
        for at, name in enumerate(c.names):
            inner.memo[c.field(at, When.BEFORE)] = name, ATOM
    steps = [(c, at, e) for c in every for at, e in enumerate(carried.steps(c.fold))]
    inner.expect(e for _, _, e in steps)
    ahead = Ahead(way, [], [])
    for e in unhindered(inner, (*(e for _, _, e in steps), *points)):
        ahead.take(e)
    seen_after = {x for x in ir.walk(*points, *(e for _, _, e in steps)) if isinstance(x, ir.Fold)}
    changes: list[tuple[str, str]] = []
    for c, at, e in steps:
        name, value = c.names[at], inner.typed(e)
        after = c.field(at, When.AFTER)
        if after in seen_after:
            new = inner.shared.names.fresh(f"{name}_after")
            body.append(Let(new, value))
            inner.memo[after] = new, ATOM
            value = new
        changes.append((name, value))
    if stores is not None:
        stores(inner, body)
    body.extend((*_committed(inner, changes), *ahead.behind))
    if body:
        above.block(len(above.levels)).extend((*ahead.before, way.loop(_TURNS)))
    for c in every:
        for at, name in enumerate(c.names):
            _memo(above)[c.field(at, When.LAST)] = name, ATOM


def _folds(axis: ir.Axis, roots: Iterable[ir.Expr]) -> Iterator[ir.Fold]:
    """The folds along ``axis`` inside ``roots``, those that another one needs at a point before it."""
    seen: set[ir.Expr] = set()

    def visit(e: ir.Expr) -> Iterator[ir.Fold]:
        if e in seen:
            return
        seen.add(e)
        own = e if isinstance(e, ir.Fold) and e.axis == axis else None
        for c in ir.children(e) if own is None else own.steps:
            yield from visit(c)
        if own is not None:
            yield replace(own, at=0, when=When.LAST)

    for root in roots:
        yield from visit(root)


def _start(above: Summing, e: ir.Fold) -> _Carried:
    """The carries in front of the first point."""
    made = _Carried(e, [])
    names, block = above.shared.names, above.block(len(above.levels))
    for at, (carry, init) in enumerate(zip(e.carries, e.inits, strict=True)):
        value, name = spread(above, init), names.fresh(carry.name)
        block.append(Let(name, value, names.note(e) if at == 0 else ""))
        made.names.append(name)
    return made


def _committed(inner: Summing, changes: list[tuple[str, str]]) -> Iterator[Let]:
    """The carries become what the point made of them, all at once."""
    live, names = inner.live(len(inner.levels)), inner.shared.names
    changes = [(name, value) for name, value in changes if name != value]
    late: list[Let] = []
    last: list[Let] = []
    for at, (name, value) in enumerate(changes):
        new = f"tl.where({live}, {value}, {name})" if live else value
        if any(re.search(rf"\b{name}\b", other) for _, other in changes[at + 1 :]):
            kept = names.fresh(f"{name}_next")
            yield Let(kept, new)
            last.append(Let(name, kept))
        else:
            late.append(Let(name, new))
    yield from (*late, *last)


def _memo(above: Summing) -> MutableMapping[ir.Expr, Text]:
    return above.memo if above.levels else above.shared.scalars


# ------------------------------------------------- sums along the same points


def carried_along(work: Work) -> Work:
    """``work`` in which the running sums along a fold's axis are carried like it."""
    folds = [e for e in ir.near(*work.roots) if isinstance(e, ir.Fold)]
    ways = dict.fromkeys(frame(w.axis) for w in work.writes)
    for axis in sorted({e.axis for e in folds}, key=lambda a: -len(frame(a))):
        for way in ways:
            work = work.mapped(way, Rewriter(_Running(axis).inside).expr)
    along = {sequence(frame(w.axis), w.roots()) for w in work.writes}
    for axis in (work.sequence,) if not work.in_order else along:
        if axis is not None:
            work = work.mapped(frame(axis), _Running(axis).expr)
    return work


@dataclass(slots=True)
class _Running:
    """Turns sums of what lies before a point of ``axis`` into folds, where its own points compute them."""

    axis: ir.Axis
    count: int = 0
    known: dict[ir.Expr, ir.Expr] = field(default_factory=dict[ir.Expr, ir.Expr])

    def inside(self, e: ir.Expr) -> ir.Expr | None:
        """The same in the steps of folds along ``axis``."""
        if not isinstance(e, ir.Fold) or e.axis != self.axis:
            return None
        made = replace(e, steps=tuple(map(self.expr, e.steps)))
        return made if made != e else None

    def expr(self, e: ir.Expr) -> ir.Expr:
        if e not in self.known:
            self.known[e] = self._expr(e)
        return self.known[e]

    def _expr(self, e: ir.Expr) -> ir.Expr:
        match e:
            # sum in the row so far => a carry
            case ir.RowScan(of, over) if frame(over) == frame(self.axis):
                return self._carry(self.expr(of))
            # sum of all points before => that of the rows before, and of the row so far
            case ir.Scan() if frame(e.over) == frame(self.axis):
                own = normal(e)
                above, inside = ir.parent(self.axis), self._carry(own.of)
                if above is None:
                    return inside
                total = ir.Reduce(ir.Monoid.SUM, own.of, own.over, above, loc=e.loc)
                return ir.Bin(Op.ADD, ir.Scan(total, above, loc=e.loc), inside, loc=e.loc)
            case ir.Across(_, of):
                asked: dict[ir.Expr, ir.Expr] = {}
                asked.update((g, replace(g, of=self.expr(g.of))) for g in ir.asked(of))
                return replace(e, of=carried.substituted(of, asked))
            # a pass computes these for points of its own
            case ir.Scan() | ir.Reduce(to=None):
                return e
            case _:
                return ir.rebuild(e, tuple(map(self.expr, ir.children(e))))

    def _carry(self, of: ir.Expr) -> ir.Expr:
        self.count += 1
        dtype, name = ir.dtype_of(of), f"{self.axis.name}_sum"
        carry = ir.Carry(-self.count, 0, dtype.lo, dtype.hi, dtype, name, loc=of.loc)
        step = ir.Bin(Op.ADD, carry, of, loc=of.loc)
        start = ir.Const(0, dtype, loc=of.loc)
        return ir.Fold(self.axis, (start,), (step,), (carry,), 0, When.BEFORE, loc=of.loc)
