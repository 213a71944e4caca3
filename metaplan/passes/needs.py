"""What a launch before must keep: the values on the way that one pass over points cannot make."""

from __future__ import annotations

from metaplan import catalogue, ir
from metaplan.passes.place import index
from metaplan.sums import frame


def kept(plan: ir.Plan) -> dict[ir.Expr, ir.Axis | None]:
    """The expressions that an earlier launch stores, and the axis at whose points it does."""
    found: dict[ir.Expr, ir.Axis | None] = {}
    for axis in plan.axes:
        if isinstance(axis, ir.Ragged | ir.Part):
            _inside(axis.length, (), found)
        if isinstance(axis, ir.Part):
            _inside(axis.before, (), found)
    for own, exprs in ir.written(plan):
        for e in exprs:
            _value(e, own, found)
    for o in plan.outputs:
        if isinstance(o.tail, ir.Fill):
            for e in (o.tail.value, o.tail.until):
                if e is not None:
                    _value(e, None, found)
    return found


def _keep(e: ir.Expr, axis: ir.Axis | None, found: dict[ir.Expr, ir.Axis | None]) -> None:
    if e in found:
        return
    free = bound_elsewhere(e)
    if free is not None:
        raise catalogue.too_deep(free.loc, e.loc)
    found[e] = axis
    _value(e, axis, found)


def _value(e: ir.Expr, own: ir.Axis | None, found: dict[ir.Expr, ir.Axis | None]) -> None:
    """What must be kept for a program that computes ``e`` at points of ``own``."""
    match e:
        case ir.Scan(of, over):
            _pass(of, over, (), found)
        case ir.Reduce(_, of, over, None):
            _pass(of, over, (), found)
        case ir.Reduce(_, of, over, to):
            _pass(of, over, ir.chain(to), found, rows=True)
        case ir.Size(axis):
            _lengths(axis, (), found)
        case ir.Across():
            _sweep(e, found)
        case ir.At(of, axis, place):
            _value(place, own, found)
            if not inlined(of, axis):
                _keep(of, axis, found)
        case ir.RowScan(of, over) | ir.Sort(of, over):
            if not _in_lanes(over, own):
                _keep(e, over, found)
            else:
                _value(of, own, found)
        case ir.Fold(axis, inits, steps, _, _, when):
            here = ir.parent(axis) if when is ir.When.LAST else axis
            if _same(here, own):
                for x in (*inits, *steps):
                    _value(x, axis, found)
            else:
                _keep(e, here, found)
        case ir.Bisect():
            for x in ir.children(e):
                _value(x, own, found)
        case _:
            for c in ir.children(e):
                _value(c, own, found)


def _in_lanes(over: ir.Axis, own: ir.Axis | None) -> bool:
    return own is not None and frame(own)[-1:] == frame(over)[-1:]


def _same(a: ir.Axis | None, b: ir.Axis | None) -> bool:
    return frame(a) == frame(b)


def _pass(
    of: ir.Expr,
    over: ir.Axis,
    above: tuple[ir.Axis, ...],
    found: dict[ir.Expr, ir.Axis | None],
    rows: bool = False,
) -> None:
    """A sum goes over its points once: no value on the way may need the points before, or below."""
    for axis in ir.chain(over):
        _lengths(axis, above, found, rows)
    _inside(of, above, found, rows)


def _lengths(
    axis: ir.Axis,
    above: tuple[ir.Axis, ...],
    found: dict[ir.Expr, ir.Axis | None],
    rows: bool = False,
) -> None:
    if isinstance(axis, ir.Ragged | ir.Part) and axis not in above:
        _inside(axis.length, above, found, rows)


def _inside(
    e: ir.Expr,
    above: tuple[ir.Axis, ...],
    found: dict[ir.Expr, ir.Axis | None],
    rows: bool = False,
) -> None:
    """What must be kept for a pass over points that computes ``e`` at each of them."""
    match e:
        case ir.Scan(of, over):
            if over in above:
                _pass(of, over, (), found)
            else:
                _keep(e, over, found)
        case ir.Reduce(_, of, over, to) if to is None:
            _pass(of, over, (), found)
        case ir.Reduce(_, of, over, to):
            one = isinstance(over, ir.Ragged) and over.most == 1
            if rows and to not in above and not one:
                _keep(e, to, found)
            else:
                _pass(of, over, ir.chain(to), found, rows=True)
        case ir.Size(axis):
            for a in ir.chain(axis):
                _lengths(a, above, found)
        case ir.At(of, axis, place):
            _inside(place, above, found, rows)
            if not inlined(of, axis):
                _keep(of, axis, found)
        case ir.RowScan(_, over) | ir.Sort(_, over):
            _keep(e, over, found)
        case ir.Fold(axis, _, _, _, _, when):
            _keep(e, ir.parent(axis) if when is ir.When.LAST else axis, found)
        case ir.Across() | ir.Bisect():
            _keep(e, ir.axis_of(e), found)
        case _:
            for c in ir.children(e):
                _inside(c, above, found, rows)


def _sweep(e: ir.Across, found: dict[ir.Expr, ir.Axis | None]) -> None:
    """A sweep takes the points of its axis one tile after the other."""
    for g in ir.asked(e.of):
        _value(g.of, ir.axis_of(g.of), found)
    plain = all(isinstance(a, ir.Root | ir.Dense) for a in ir.chain(e.over))

    def visit(x: ir.Expr) -> None:
        if isinstance(x, ir.Given):
            return
        if isinstance(x, ir.Across):
            _keep(x, ir.axis_of(x), found)
        elif ir.asked(x) or isinstance(x, ir.Const):
            for c in ir.children(x):
                visit(c)
        elif ir.axis_of(x) is None:
            _value(x, None, found)
        elif not plain and x != index(e.over):
            _keep(x, e.over, found)
        elif plain:
            _swept(x, e.over, found)

    visit(e.of)


def _swept(x: ir.Expr, over: ir.Axis, found: dict[ir.Expr, ir.Axis | None]) -> None:
    """What the sweep itself computes of its axis: pointwise values, and sums along a root."""
    match x:
        case ir.Scan(of, along) if along == over and ir.parent(over) is None:
            _inside(of, (), found, rows=True)
        case ir.Scan() | ir.Reduce() | ir.RowScan() | ir.Sort() | ir.Fold() | ir.At() | ir.Bisect():
            if ir.axis_of(x) is None:
                _value(x, None, found)
            else:
                _keep(x, ir.axis_of(x), found)
        case _:
            for c in ir.children(x):
                _swept(c, over, found)


def inlined(of: ir.Expr, axis: ir.Axis) -> bool:
    """Whether a value at another point is computed there: it needs nothing but that point."""
    if not isinstance(axis, ir.Root):
        return False
    plain = ir.Const | ir.Load | ir.Bin | ir.Not | ir.Where | ir.Cast | ir.Offset | ir.Choice
    return all(isinstance(x, plain) for x in ir.walk(of))


def bound_elsewhere(e: ir.Expr) -> ir.Expr | None:
    """What stands in ``e`` for something that is known outside of it only."""
    inside: set[ir.Expr] = set()
    for x in ir.walk(e):
        match x:
            case ir.Bisect(_, _, _, trial):
                inside.add(trial)
            case ir.Fold(_, _, _, carries):
                inside |= set(carries)
            case _:
                pass
    for x in ir.walk(e):
        if isinstance(x, ir.Trial | ir.Carry) and x not in inside:
            return x
    for given in ir.asked(e):
        return given
    return None
