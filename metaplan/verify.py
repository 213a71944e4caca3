"""What must hold of a plan: checked when it is declared, and again after every pass."""

from __future__ import annotations

from collections.abc import Iterator

from metaplan import catalogue, ir


def verify(plan: ir.Plan) -> None:
    """Raises PlanError for the first thing that the plan cannot mean."""
    _names(plan)
    _declared(plan)
    _writers(plan)


def all_read(plan: ir.Plan) -> None:
    """Raises for an input that a plan, as it was declared, never mentions.

    A pass may find that a read changes nothing: the input stays, and no kernel takes it.
    """
    read = {e.source for e in _all(plan) if isinstance(e, ir.Load)}
    taken = {r.name for o in plan.opaques for r in o.reads}
    for i in plan.inputs:
        if i not in read and i.name not in taken and not any(u.target == i for u in plan.updates):
            raise catalogue.unused_input(i.name, i.loc)


def _all(plan: ir.Plan) -> list[ir.Expr]:
    return list(ir.walk(*ir.exprs(plan)))


def _names(plan: ir.Plan) -> None:
    inputs = {i.name for i in plan.inputs}
    for o in plan.outputs:
        if o.name in inputs:
            raise catalogue.name_taken("output", o.name, "an input", o.loc)


def _declared(plan: ir.Plan) -> None:
    known = set(plan.axes)
    for e in _all(plan):
        for axis in ir.axes_in(e):
            for a in ir.chain(axis):
                assert a in known, f"axis {a.name} is used and not declared"


def _writers(plan: ir.Plan) -> None:
    """One writer for each state, and no reading of a state elsewhere than where it is written."""
    by_target: dict[ir.Input, ir.Update] = {}
    written: dict[ir.Input, set[tuple[ir.Expr, ...]]] = {}
    for u in plan.updates:
        # copies of one change have its name
        if by_target.setdefault(u.target, u).name != u.name:
            raise catalogue.written_twice(u.target.name, u.loc)
        written.setdefault(u.target, set()).add(u.index)
    for e in _all(plan):
        if isinstance(e, ir.Load) and e.index not in written.get(e.source, {e.index}):
            raise catalogue.state_race(e.source.name, e.loc)
    for o in plan.opaques:
        for target in by_target:
            if any(r.kind is ir.Held.INPUT and r.name == target.name for r in o.reads):
                raise catalogue.state_race(target.name, o.loc)
    for e in _elsewhere(plan, by_target):
        for load in ir.walk(e):
            if isinstance(load, ir.Load) and load.source in by_target:
                raise catalogue.state_race(load.source.name, load.loc)


def _elsewhere(plan: ir.Plan, by_target: dict[ir.Input, ir.Update]) -> Iterator[ir.Expr]:
    """What other programs compute than those that write: sums, lengths, tails, other branches."""
    for e in _all(plan):
        match e:
            case ir.Scan() | ir.Reduce(to=None):
                yield e
            case ir.Fold(axis, when=ir.When.LAST) if ir.parent(axis) is None:
                yield e
            case _:
                pass
    for axis in plan.axes:
        if isinstance(axis, ir.Ragged | ir.Part):
            yield axis.length
    for o in plan.outputs:
        if isinstance(o.tail, ir.Fill):
            yield o.tail.value
            if o.tail.until is not None:
                yield o.tail.until
    for axis, exprs in ir.written(plan):
        root = ir.chain(axis)[:1]
        for e in ir.walk(*exprs):
            own = by_target.get(e.source) if isinstance(e, ir.Load) else None
            if own is not None and ir.chain(own.axis)[:1] != root:
                yield e
