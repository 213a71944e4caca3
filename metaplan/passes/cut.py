"""A plan as launches: one, unless a value on the way must be kept for a later one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

from metaplan import ir
from metaplan.ir import Op
from metaplan.passes.counting import Blocks
from metaplan.passes.keeping import Keeper
from metaplan.passes.last import last_wins
from metaplan.passes.simplify import simplify
from metaplan.points import overfull

T = TypeVar("T")


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


def cut(plan: ir.Plan, blocks: Blocks) -> Stages:
    """``plan`` as the launches that it takes; ``blocks``: when many points are counted in blocks."""
    numbered = replace(plan, checks=tuple(replace(c, number=n) for n, c in enumerate(plan.checks)))
    whole, winners = last_wins(numbered)
    made = _Cut(whole, winners, blocks)
    stages, folds = made.stages(), made.keeper.folds()
    if len(stages.plans) == 1 or not folds:
        return stages
    # one program goes along a fold of the batch: what others can compute behind it, they do
    short = _Cut(whole, winners, blocks, folds).stages()
    return short if len(short.plans) <= len(stages.plans) else stages


def _counted(plans: list[ir.Plan]) -> Iterator[ir.Plan]:
    """``plans`` with the checks that are left numbered from 0, in their order: each has a flag."""
    left = sorted(c.number for p in plans for c in p.checks)
    for p in plans:
        yield replace(p, checks=tuple(replace(c, number=left.index(c.number)) for c in p.checks))


class _Cut:
    """Says which launch computes what."""

    def __init__(
        self,
        whole: ir.Plan,
        winners: tuple[ir.Input, ...],
        blocks: Blocks,
        apart: frozenset[ir.Axis] = frozenset(),
    ) -> None:
        self.whole, self.winners = whole, {i.name: i for i in winners}
        self.keeper, self.apart = Keeper(whole, blocks), apart
        self.outputs: dict[int, list[ir.Output]] = {}

    def stages(self) -> Stages:
        keeper, whole = self.keeper, self.whole
        for o in sorted(whole.outputs, key=lambda o: o.name not in self.winners):
            for level, part in self._parted(self._output(o)):
                self.outputs.setdefault(level, []).append(part)
                if o.name in self.winners:
                    keeper.levels[o.name] = level
        updates = tuple(map(self._update, whole.updates))
        checks: dict[int, list[ir.Check]] = {}
        for c in whole.checks:
            c = self._read(self._check, self._check_level, c)
            checks.setdefault(self._check_level(c), []).append(c)
        for _, stored in keeper.stored:
            self.outputs.setdefault(keeper.levels[stored.name], []).append(stored)
        for c in self._overfull(len(whole.checks)):
            checks.setdefault(self._check_level(c), []).append(c)
        opaques = self._opaques()
        last = max([0, *self.outputs, *checks, *map(self._update_level, updates)])
        axes = (*map(keeper.axis, whole.axes), *keeper.shapes)
        rooms = [(a.name, a.width) for a in keeper.shapes if isinstance(a.width, int)]
        sizes = tuple(sorted((*whole.sizes, *rooms)))
        plans: list[ir.Plan] = []
        for at in range(last + 1):
            between = (*self.winners.values(), *(i for i, _ in keeper.stored))
            ready = [i for i in between if keeper.levels[i.name] < at]
            made = replace(
                whole,
                name=whole.name if at == last else f"{whole.name}_{at + 1}",
                inputs=(*whole.inputs, *ready),
                axes=tuple(a for a in axes if keeper.axis_level(a) <= at),
                outputs=tuple(self.outputs.get(at, [])),
                updates=updates if at == last else (),
                checks=tuple(checks.get(at, [])),
                sizes=sizes,
                opaques=tuple(opaques.get(at, [])),
            )
            plans.append(simplify(made))
        return Stages(tuple(_counted(plans)), frozenset(keeper.levels))

    def _opaques(self) -> dict[int, list[ir.Opaque]]:
        """Each kernel of the user's own in the launch behind those that make what it reads."""
        made = {o.name: level for level, outputs in sorted(self.outputs.items()) for o in outputs}
        found: dict[int, list[ir.Opaque]] = {}
        for kernel in self.whole.opaques:
            before = [made[r.name] for r in kernel.reads if r.kind is ir.Held.OUTPUT]
            own = {name for _, name in kernel.writes}
            level = max([*(made[name] for name in own), *(at + 1 for at in before)])
            for at in {made[name] for name in own}:
                moved = [o for o in self.outputs[at] if o.name in own]
                self.outputs[at] = [o for o in self.outputs[at] if o.name not in own]
                self.outputs.setdefault(level, []).extend(moved)
            made |= dict.fromkeys(own, level)
            found.setdefault(level, []).append(kernel)
        return found

    # ------------------------------------------------------------ outputs

    def _output(self, o: ir.Output) -> ir.Output:
        """``o`` for the first launch that can compute it; what is kept by then is read."""
        self.keeper.apart = self.apart
        made = self._read(self._rewritten, self._level, o)
        self.keeper.apart = frozenset()
        return made

    def _read(self, rewritten: Callable[[T], T], level: Callable[[T], int], part: T) -> T:
        """``part`` of the plan, which reads what launches in front of its own have kept."""
        self.keeper.read(self.keeper.kept(level(rewritten(part))))
        made = rewritten(part)
        self.keeper.read({})
        return made

    def _rewritten(self, o: ir.Output) -> ir.Output:
        keeper, tail = self.keeper, o.tail
        given = () if o.where is None else (o.where,)
        parts: list[tuple[ir.Part, ir.Expr]] = []
        for part, value in o.parts:
            new = keeper.axis(part)
            assert isinstance(new, ir.Part)
            parts.append((new, keeper.value(value, part, given)))
        if isinstance(tail, ir.Fill):
            until = None if tail.until is None else keeper.value(tail.until, None)
            tail = replace(tail, value=keeper.value(tail.value, None), until=until)
        put, stored = o.put, (*o.columns, *given, *(o.put.index if o.put is not None else ()))
        if put is not None:
            places = tuple(keeper.value(i, put.axis, stored) for i in put.index)
            put = replace(put, axis=keeper.place(put.axis), index=places)
        return replace(
            o,
            axis=keeper.place(o.axis),
            columns=tuple(keeper.value(c, o.source, stored) for c in o.columns),
            where=None if o.where is None else keeper.value(o.where, o.source, stored),
            tail=tail,
            parts=tuple(parts),
            put=put,
        )

    def _level(self, o: ir.Output) -> int:
        exprs = [*o.columns, *(v for _, v in o.parts)]
        exprs += [] if o.where is None else [o.where]
        exprs += [] if o.put is None else [*o.put.index]
        if isinstance(o.tail, ir.Fill):
            exprs += [e for e in (o.tail.value, o.tail.until) if e is not None]
        axes = [o.source, o.axis, *(part for part, _ in o.parts)]
        return max(self.keeper.level(*exprs), *map(self.keeper.axis_level, axes))

    def _parted(self, o: ir.Output) -> Iterator[tuple[int, ir.Output]]:
        """An output as what each launch does for it: a scattered one is filled by a launch before."""
        if o.put is None or not isinstance(o.tail, ir.Fill):
            yield self._level(o), o
            return
        fill = replace(o, columns=(), where=None, put=replace(o.put, index=()))
        filled = self._level(replace(fill, put=None))
        yield filled, fill
        value = replace(o, tail=ir.Keep(loc=o.tail.loc))
        yield max(self._level(value), filled + 1), value

    # -------------------------------------------------- updates and checks

    def _update(self, u: ir.Update) -> ir.Update:
        keeper, stored = self.keeper, (*u.index, u.value, *(() if u.where is None else (u.where,)))
        return replace(
            u,
            index=tuple(keeper.value(i, u.axis, stored) for i in u.index),
            value=keeper.value(u.value, u.axis, stored),
            where=None if u.where is None else keeper.value(u.where, u.axis, stored),
            axis=keeper.place(u.axis),
        )

    def _update_level(self, u: ir.Update) -> int:
        where = () if u.where is None else (u.where,)
        level = self.keeper.level(*u.index, u.value, *where)
        return max(level, self.keeper.axis_level(u.axis))

    def _check(self, c: ir.Check) -> ir.Check:
        return replace(c, axis=self.keeper.place(c.axis), bad=self.keeper.value(c.bad, c.axis))

    def _check_level(self, c: ir.Check) -> int:
        return max(self.keeper.level(c.bad), self.keeper.axis_level(c.axis))

    def _overfull(self, number: int) -> Iterator[ir.Check]:
        """A count for each axis whose kept values may need more room than there is."""
        keeper = self.keeper
        told = {(keeper.axis(c.axis), c.message) for c in self.whole.checks if c.axis is not None}
        for _, stored in keeper.stored:
            for axis in ir.chain(stored.axis):
                if not isinstance(axis, ir.Ragged) or axis.capacity is None:
                    continue
                message = overfull(axis)
                most = keeper.ranges.capacity(axis.parent) * keeper.ranges.bound(axis)
                if most <= axis.capacity or (axis, message) in told:
                    continue
                told.add((axis, message))
                room = ir.Const(axis.capacity, loc=axis.loc)
                bad = ir.Bin(Op.LE, room, keeper.tidy_index(axis), loc=axis.loc)
                yield ir.Check(axis, bad, message, number, loc=axis.loc)
                number += 1
