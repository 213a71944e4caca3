"""When each output of a plan can be computed: what it depends on decides.

In a decode loop two things are late: the sampled tokens, and the counts of how many of them hold. A field that needs
neither can be written at any time; one that needs the counts alone can be written beside whatever samples the tokens,
where the counts are known before (without drafts, every row gets one token).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from enum import Enum

from metaplan import ir


class Phase(Enum):
    """What an output must wait for."""

    NEITHER = "neither"
    COUNT = "count"
    TOKEN = "token"


def phases(plan: ir.Plan, *, token: Collection[str], count: Collection[str]) -> dict[str, Phase]:
    """The phase of every output; ``token`` and ``count`` name the inputs that hold either."""
    made: dict[str, Phase] = {}
    for output in plan.outputs:
        needed = reads(plan, output)
        made[output.name] = (
            Phase.TOKEN
            if needed & set(token)
            else Phase.COUNT
            if needed & set(count)
            else Phase.NEITHER
        )
    return made


def reads(plan: ir.Plan, output: ir.Output) -> set[str]:
    """The inputs that an output depends on, through lengths of axes too."""
    alone = replace(plan, axes=(), outputs=(output,), updates=(), checks=())
    found, axes = set[str](), dict.fromkeys(ir.chain(output.axis))
    for e in _every(alone, axes):
        if isinstance(e, ir.Load):
            found.add(e.source.name)
    others = {o.name: o for o in plan.outputs if o.name != output.name}
    for kernel in plan.opaques:
        if output.name in dict(kernel.writes).values():
            for read in kernel.reads:
                found |= reads(plan, others[read.name]) if read.name in others else {read.name}
    return found


def only(plan: ir.Plan, names: Collection[str]) -> ir.Plan:
    """The plan of these outputs alone, with the inputs and axes that they need; nothing is updated."""
    outputs = tuple(o for o in plan.outputs if o.name in names)
    needed = set[str]().union(*(reads(plan, o) for o in outputs))
    axes: dict[ir.Axis, None] = {}
    for o in outputs:
        axes |= dict.fromkeys(ir.chain(o.axis))
    alone = replace(plan, axes=(), outputs=outputs, updates=(), checks=())
    for _ in _every(alone, axes):
        pass
    return replace(
        alone,
        inputs=tuple(i for i in plan.inputs if i.name in needed),
        axes=tuple(a for a in plan.axes if a in axes),
        opaques=tuple(k for k in plan.opaques if set(dict(k.writes).values()) & set(names)),
    )


def _every(plan: ir.Plan, axes: dict[ir.Axis, None]) -> Iterator[ir.Expr]:
    """Every expression of the outputs and of the axes that they name; fills ``axes`` with those."""
    seen: set[ir.Expr] = set()
    waiting = list(ir.exprs(plan))
    known: set[ir.Axis] = set()
    while True:
        for e in ir.walk(*waiting):
            if e not in seen:
                seen.add(e)
                yield e
                for axis in ir.axes_in(e):
                    axes |= dict.fromkeys(ir.chain(axis))
        new = [a for a in axes if a not in known]
        if not new:
            return
        known.update(new)
        waiting = [
            e
            for a in new
            if isinstance(a, ir.Ragged | ir.Part)
            for e in ((a.length, a.before) if isinstance(a, ir.Part) else (a.length,))
        ]
