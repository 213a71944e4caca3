"""Plan -> Schedule: which stores share a program, how many rows and lanes it takes, and why.

The only place with heuristics. What a choice costs was measured (docs/performance.md): a launch costs
0.5 us and a chain of dependent loads 0.5 us a link, so everything goes into one launch and every
program finds its own start by summing the counts of the rows before it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import count
from math import prod

from metaplan import catalogue, choices, ir
from metaplan.copies import mentioned, of_output
from metaplan.limits import LIMITS as LIMITS
from metaplan.limits import Limits as Limits
from metaplan.looking import rows_along, sequence, sums_above, updated
from metaplan.ranges import Ranges
from metaplan.stored import of_stored
from metaplan.sums import frame, normal, sums
from metaplan.tallies import tallies
from metaplan.target import Target
from metaplan.warps import num_warps
from metaplan.works import Partial as Partial
from metaplan.works import Schedule as Schedule
from metaplan.works import Tail as Tail
from metaplan.works import Work as Work
from metaplan.works import power as power
from metaplan.works import same_lanes as same_lanes
from metaplan.writes import Write, writes


def schedule(
    plan: ir.Plan, target: Target, limits: Limits = LIMITS, kept: frozenset[str] = frozenset()
) -> Schedule:
    """The choices for one launch of a plan on one target; a pure function of its arguments."""
    ranges = Ranges()
    works = _works(plan, ranges, limits)
    crowded = sum(bool(w.rows) and w.lanes is not None for w in works) >= limits.crowd
    works = [_sized(w, plan, ranges, target, limits, crowded) for w in works]
    tails = _tails(plan, target)
    reasons = [(w.name, choices.of_work(w, ranges)) for w in works]
    reasons += [(t.name, f"{t.programs} fill {t.tile} cells at a time") for t in tails]
    partials = _partials(plan, ranges, limits)
    reasons += [("sums", choices.of_sums(partials, limits))]
    return Schedule(
        plan,
        tuple(works),
        tuple(tails),
        num_warps(works, ranges, limits, alone=not kept),
        limits.scan_tile,
        tuple(reasons),
        tuple(partials),
        kept,
    )


def _partials(plan: ir.Plan, ranges: Ranges, limits: Limits) -> list[Partial]:
    """The sums over more points than a program can sum by itself."""
    made: list[Partial] = []
    roots = [*ir.exprs(plan), *(e for w in writes(plan) for e in w.roots())]
    for scan in sums(roots):
        axes = frame(scan.over)
        along = axes[:-1] or axes
        points, rows = (prod(map(ranges.bound, some)) for some in (axes, along))
        if points > limits.recompute:
            block = max(min(limits.block_rows, limits.block_points // (points // rows)), 1)
            made.append(Partial(f"partial_{len(made)}", scan, along, -(-rows // block), block))
    return made


def distinct(schedules: Iterable[Schedule]) -> tuple[Schedule, ...]:
    """The schedules of all launches of a plan, in which no two prepare sums under one name, nor under one of the user's."""
    every = tuple(schedules)
    taken = {x.name for s in every for x in (*s.plan.inputs, *s.plan.outputs)}
    free = (name for number in count() if (name := f"partial_{number}") not in taken)
    return tuple(
        replace(s, partials=tuple(replace(p, name=next(free)) for p in s.partials)) for s in every
    )


def _works(plan: ir.Plan, ranges: Ranges, limits: Limits) -> list[Work]:
    every = writes(plan)
    ordered = (_in_order(plan, every, root) for root in updated(plan))
    works = [w for w in ordered if w.writes]
    own = {w for work in works for w in work.writes}
    hosted = {number for work in works for number, _ in work.checks}
    for write in every:
        if write not in own:
            shape = _shaped(frame(write.axis), write.roots(), ranges, limits)
            copies = _shared(plan, mentioned(write.roots(), (write.axis,)))
            _join(works, replace(shape, copies=copies), write)
    for check in plan.checks:
        if check.number not in hosted:
            copies = _shared(plan, mentioned((check.bad,), (check.axis,)))
            _host(works, copies, check, ranges, limits)
    return works


def _shared(plan: ir.Plan, which: frozenset[ir.Which]) -> tuple[ir.Which, ...]:
    """The copies among ``which`` whose lines are shared, in the order of their declaration."""
    return tuple(w for w in plan.copies if w in which)


def _points(w: Work, ranges: Ranges) -> int:
    """How many rows, padded, a work enumerates."""
    points = 1
    for width in w.widths(ranges):
        points *= width
    return points


def _shaped(
    axes: tuple[ir.Axis, ...], roots: tuple[ir.Expr, ...], ranges: Ranges, limits: Limits
) -> Work:
    """An empty work for points along ``axes``: short rows are flattened, long ones have lanes."""
    along = sequence(axes, roots)
    if along is not None:
        rows = axes[:-1] if frame(along) == axes else axes
        return Work(f"{along.name}_fold", rows, None, (), (), sequence=along)
    if not axes:
        return Work("batch", (), None, (), ())
    last = axes[-1]
    if tallies(axes, roots, ranges):
        return Work(f"{last.name}_counts", axes[:-1], last, (), (), tallies=True)
    if found := rows_along(axes, roots):
        whole = any(isinstance(e, ir.Sort) for e in found)
        name = f"{last.name}_{'sorted' if whole else 'rows'}"
        return Work(name, axes[:-1], last, (), (), whole=whole)
    inner = [e for e in ir.walk(*roots) if isinstance(e, ir.Reduce) and e.to is not None]
    if any(frame(e.to) == axes for e in inner):
        return Work(f"{last.name}_sums", axes, None, (), (), reduces=True)
    short = ranges.bound(last) <= limits.short and not sums_above(axes, roots)
    if len(axes) > 1 and (short or _asks(roots, axes)):
        return Work(last.name, axes, None, (), ())
    return Work(last.name, axes[:-1], last, (), ())


def _asks(roots: Iterable[ir.Expr], axes: tuple[ir.Axis, ...]) -> bool:
    """Whether the points of ``axes`` ask those of another axis: each is a row of a sweep."""
    every = (e for e in ir.near(*roots) if isinstance(e, ir.Across))
    return any(frame(ir.axis_of(e)) == axes for e in every)


def _alike(a: Work, b: Work) -> bool:
    if a.in_order or b.in_order or a.copies != b.copies:
        return False
    if a.reduces != b.reduces or len(a.rows) != len(b.rows):
        return False
    if a.sequence != b.sequence or a.whole != b.whole or a.tallies != b.tallies:
        return False
    if a.lanes is None or b.lanes is None:
        return a.lanes is b.lanes and all(map(same_lanes, a.rows, b.rows))
    return a.rows == b.rows and same_lanes(a.lanes, b.lanes)


def _join(works: list[Work], shape: Work, write: Write) -> None:
    for at, w in enumerate(works):
        if _alike(w, shape):
            works[at] = replace(w, writes=(*w.writes, write))
            return
    name = _fresh(shape.name, [w.name for w in works])
    works.append(replace(shape, name=name, writes=(write,)))


def _host(
    works: list[Work],
    copies: tuple[ir.Which, ...],
    check: ir.Check,
    ranges: Ranges,
    limits: Limits,
) -> None:
    """A check runs where its value is computed anyway; else in a work of its own."""
    axes = frame(check.axis)
    shape = _shaped(axes, (check.bad,), ranges, limits)
    own = shape.sequence is not None or rows_along(axes, (check.bad,))
    for at, w in enumerate(works):
        if w.in_order or w.copies != copies:
            continue
        fits = len(w.axes) == len(axes) and all(map(same_lanes, w.axes, axes))
        if _alike(w, shape) if own else fits and w.sequence is None:
            works[at] = replace(w, checks=(*w.checks, (check.number, check)))
            return
    name = _fresh(f"check_{shape.name}", [w.name for w in works])
    works.append(replace(shape, name=name, checks=((check.number, check),), copies=copies))


def _in_order(plan: ir.Plan, every: list[Write], root: ir.Axis) -> Work:
    """All that is written along an updated root: a program owns a row, reads all, then writes."""
    below = [w for w in every if frame(w.axis)[:1] == (root,)]
    for w in below:
        if len(frame(w.axis)) > 2:
            _alone(w, plan, every)
    own = tuple(w for w in below if len(frame(w.axis)) <= 2)
    axes = [(root,), *(frame(w.axis) for w in own)]
    checks = tuple((c.number, c) for c in plan.checks if frame(c.axis) in axes)
    return Work(root.name, (root,), None, own, checks, in_order=True)


def _alone(w: Write, plan: ir.Plan, every: list[Write]) -> None:
    """Raises where ``w``, further below, reads a state that another write reads or changes too.

    Each point may read the element that it changes itself: nobody else does.
    """
    for u in plan.updates:
        for load in _loads(w, u.target):
            shared = any(_loads(x, u.target) for x in every if x is not w)
            if w.target != u.target or shared:
                raise catalogue.state_race(u.target.name, load.loc)


def _loads(w: Write, state: ir.Input) -> list[ir.Load]:
    return [e for e in ir.walk(*w.roots()) if isinstance(e, ir.Load) and e.source == state]


def _sized(
    w: Work, plan: ir.Plan, ranges: Ranges, target: Target, limits: Limits, crowded: bool
) -> Work:
    if not w.axes or (w.sequence is not None and not w.rows):
        return w
    room = max(target.processors * limits.waves // prod(c.count for c in w.copies), 1)
    if not w.rows:
        assert w.lanes is not None
        bound = ranges.bound(w.lanes)
        asks = _asks(w.roots, (w.lanes,))
        tile = min(power(bound), _askers(bound, target, limits) if asks else limits.vector)
        tile = power(bound) if w.whole else tile
        return replace(w, tile=tile, programs=-(-bound // tile))
    points = _points(w, ranges)
    if w.tallies:
        assert w.lanes is not None
        return replace(w, tile=power(ranges.bound(w.lanes)), programs=min(points, room))
    if _packs(w, ranges, limits):
        w, points = _packed(w, plan, ranges), _packed_rows(w, ranges)
    if w.sequence is not None:
        rows = _each(points, limits.spread, limits.folded, target)
        return replace(w, rows_per_program=rows, programs=min(-(-points // rows), room))
    if w.lanes is None and not w.in_order:
        asks = _asks(w.roots, w.rows)
        own = _summed(w, ranges, limits) if w.reduces else limits.vector
        most = _askers(points, target, limits) if asks else own
        rows = min(most, power(points))
        return replace(w, rows_per_program=rows, programs=min(-(-points // rows), room))
    if w.in_order:
        below = [frame(x.axis)[-1] for x in w.writes if len(frame(x.axis)) > len(w.rows)]
        long = any(ranges.bound(axis) > limits.short for axis in below)
        rows = 1 if long else _each(points, limits.spread, 16, target)
        blocks = -(-points // rows)
        sorts = [e for e in ir.near(*w.roots) if isinstance(e, ir.Sort)]
        tile = max(limits.lanes, *(power(ranges.bound(e.over)) for e in sorts), 1)
        return replace(w, rows_per_program=rows, tile=tile, programs=min(blocks, room))
    assert w.lanes is not None
    bound = ranges.bound(w.lanes)
    rows = 1
    long = bound > limits.long
    two = isinstance(w.lanes, ir.Dense) and limits.lanes < bound <= limits.long
    if (two and not w.packed) or bound >= limits.turns * limits.long:
        room = max(target.processors * limits.long_waves // prod(c.count for c in w.copies), 1)
    alone = _scans_lanes(w) and (bound > limits.short or points * bound > limits.recompute)
    alone = alone or _asks(w.roots, w.axes)
    if w.packed and not (long or alone):
        rows = _each(points, limits.many_spread, limits.packed_rows, target)
        tile = min(power(bound), limits.packed_lanes if rows > 1 else limits.long)
        return replace(w, rows_per_program=rows, tile=tile, programs=min(-(-points // rows), room))
    if not (bound > limits.lanes or alone):
        spread = limits.searching if _searches(w) else limits.many_spread
        rows = _each(points, spread, limits.wide_rows, target)
    most = limits.spread * target.processors
    # Programs of one row each take turns, beside other works; or most of so many rows that may be long are short.
    turns = crowded and not long and points > room
    short = ranges.capacity(w.lanes) <= points * limits.wide_lanes
    short = short and long and points > limits.waves * target.processors
    if rows == 1 and not alone and (turns or short):
        rows = _each(points, limits.spread, limits.wide_rows, target)
        most, long = limits.many_spread * target.processors, False
    widest = limits.long if long else limits.lanes if rows == 1 else limits.wide_lanes
    if w.whole and bound > widest:
        rows = 1
    tile = power(bound) if w.whole else min(power(bound), widest)
    blocks = -(-points // rows)
    splits = 1
    if bound > tile and not (sums(w.roots) or rows_along(w.axes, w.roots)):
        splits = max(1, min(-(-bound // tile), limits.shared, most // blocks))
    programs = min(blocks, max(room // splits, 1)) * splits
    return replace(w, rows_per_program=rows, tile=tile, splits=splits, programs=programs)


def _each(points: int, spread: int, most: int, target: Target) -> int:
    """How many of ``points`` a program takes, so that ``spread`` programs for each processor are left: ``most`` at most."""
    return min(power(points // (spread * target.processors)), most)


def _searches(w: Work) -> bool:
    """Whether each program searches for a number over the whole batch: the fewer programs, the less is done twice."""
    return any(isinstance(e, ir.Bisect) for e in ir.walk(*w.roots))


def _packs(w: Work, ranges: Ranges, limits: Limits) -> bool:
    """Whether the rows are far fewer than their bounds say, and only what the root's rows hold is summed up."""
    if len(w.rows) < 2 or w.in_order or w.whole or w.copies or w.sequence is not None:
        return False
    root, last, *inner = w.rows
    if not isinstance(last, ir.Ragged) or last.parent != root or not ir.top(root):
        return False
    if not all(isinstance(a, ir.Dense) for a in inner):
        return False
    most = ranges.bound(last)
    if most <= limits.packed or ranges.bound(root) > limits.sought:
        return False
    if rows_along(w.axes, w.roots) or 4 * _packed_rows(w, ranges) > _points(w, ranges):
        return False
    every = (normal(e) for e in ir.near(*w.roots) if isinstance(e, ir.Scan))
    return all(e.over == root and not any(map(_sums_more, ir.walk(e.of))) for e in every)


def _packed(w: Work, plan: ir.Plan, ranges: Ranges) -> Work:
    """``w`` over live points; over those alone that are stored, where nobody has to hear of the others."""
    held = of_stored(w, w.rows[1], plan, ranges)
    return replace(w if held is None else held, packed=True, stored=held is not None)


def _sums_more(e: ir.Expr) -> bool:
    return isinstance(e, ir.Scan | ir.Reduce | ir.RowScan | ir.Fold | ir.Sort | ir.Bisect)


def _packed_rows(w: Work, ranges: Ranges) -> int:
    return ranges.capacity(w.rows[1]) * prod(ranges.bound(a) for a in w.rows[2:])


def _summed(w: Work, ranges: Ranges, limits: Limits) -> int:
    """How many rows a program sums up: their points are in one tile."""
    every = (e.over for e in ir.near(*w.roots) if isinstance(e, ir.Reduce) and e.to is not None)
    widest = max((ranges.bound(axis) for axis in every), default=1)
    return max(min(limits.summed // power(widest), 32), 1)


def _askers(points: int, target: Target, limits: Limits) -> int:
    """How many points ask side by side: few, as long as there are processors for all of them."""
    return min(power(-(-points // target.processors)), limits.askers)


def _scans_lanes(w: Work) -> bool:
    """Whether a running sum goes along the lanes: then a program has one row, from its start."""
    if w.lanes is None:
        return False
    return any(same_lanes(axis, w.lanes) for s in sums(w.roots) for axis in frame(s.over)[-1:])


def _tails(plan: ir.Plan, target: Target) -> list[Tail]:
    groups: dict[tuple[ir.Axis | None, bool, tuple[ir.Which, ...]], list[ir.Output]] = {}
    for o in plan.outputs:
        if isinstance(o.tail, ir.Fill):
            which = of_output(o) | {n for n, _ in o.copies if isinstance(n, ir.Which)}
            groups.setdefault((o.axis, o.put is not None, _shared(plan, which)), []).append(o)
    tails: list[Tail] = []
    for (axis, whole, copies), outputs in groups.items():
        word = "cells" if whole else "tail"
        name = f"{axis.name if axis is not None else 'batch'}_{word}"
        name = _fresh(name, [t.name for t in tails])
        room = plan.size(axis.name) if axis is not None else 1
        tile = min(power(room), 1024)
        most = target.processors if whole else target.processors // 4
        programs = max(1, min(-(-room // tile), most))
        tails.append(Tail(name, axis, tuple(outputs), tile, programs, whole, copies))
    return tails


def _fresh(wish: str, taken: list[str]) -> str:
    name, count = wish, 1
    while name in taken:
        count += 1
        name = f"{wish}_{count}"
    return name
