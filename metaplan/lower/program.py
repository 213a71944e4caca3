"""The whole program of a plan: parameters, regions, buffers."""

from __future__ import annotations

from metaplan import ir, text
from metaplan.interp import buffer_shape
from metaplan.lower import partials, tails, work
from metaplan.lower.emit import stride_name
from metaplan.program import Buffer, Kernel, Param, Program, Region, Role
from metaplan.schedule import Schedule


def lower(schedule: Schedule) -> Program:
    """The kernels that carry out ``schedule``, in the order of their launch."""
    plan = schedule.plan
    before = [partials.region(schedule, p, plan.name) for p in schedule.partials]
    last = [work.region(schedule, w, plan.name) for w in schedule.works]
    last += [tails.region(schedule, t, plan.name) for t in schedule.tails]
    kernels = [_kernel(schedule, plan.name, last)]
    if before:
        kernels.insert(0, _kernel(schedule, f"{plan.name}_sums", before))
    return Program(
        plan.name,
        tuple(kernels),
        buffers(schedule),
        tuple(f"{c.loc}: {c.message}" for c in plan.checks),
        schedule.reasons,
    )


def _kernel(schedule: Schedule, name: str, made: list[tuple[Region, tuple[str, ...]]]) -> Kernel:
    regions = tuple(r for r, _ in made)
    helpers = tuple(dict.fromkeys(h for _, hs in made for h in hs))
    return Kernel(name, params(schedule, regions), regions, schedule.num_warps, helpers)


def params(schedule: Schedule, regions: tuple[Region, ...]) -> tuple[Param, ...]:
    """The arguments of a kernel, inputs first; only those that a region uses."""
    plan = schedule.plan
    used = {p for r in regions for p in r.params}
    every: list[Param] = []
    for i in plan.inputs:
        note = i.shape + (", updated in place" if i.state else "")
        every.append(Param(f"{i.name}_ptr", Role.INPUT, i.name, i.dtype.value, note))
        for at in range(len(i.dims) - 1):
            what = f"elements between rows of {i.name}"
            every.append(Param(stride_name(i, at), Role.STRIDE, i.name, "int32", what, at))
    every.extend(
        Param(f"{name}_size_ptr", Role.LIVE, name, "int32", f"int32[1]: live {name}")
        for name in plan.root_names()
    )
    for o in plan.outputs:
        note = f"{o.dtype.value}{_shape(o)}, tail: {text.tail(o.tail)}"
        every.append(Param(f"{o.name}_ptr", Role.OUTPUT, o.name, o.dtype.value, note))
    for p in schedule.partials:
        note = f"int32[{p.blocks}]: sums of {p.scan.over.name} by blocks of rows"
        dtype = ir.dtype_of(p.scan.of).value
        every.append(Param(f"{p.name}_ptr", Role.WORKSPACE, p.name, dtype, note))
    flags = f"int32[{len(plan.checks)}]: broken promises, counted"
    every.append(Param("flags_ptr", Role.FLAGS, "flags", "int32", flags))
    return tuple(p for p in every if p.name in used)


def _shape(o: ir.Output) -> str:
    if o.axis is None:
        return "[1]"
    dims = [o.axis.name + (" + 1" if o.fences else "")]
    if isinstance(o.axis, ir.Dense) and o.axis.parent is not None:
        dims = [o.axis.parent.name, str(o.axis.width)]
    if len(o.columns) > 1:
        dims.append(str(len(o.columns)))
    return f"[{', '.join(dims)}]"


def buffers(schedule: Schedule) -> tuple[Buffer, ...]:
    plan = schedule.plan
    made = [
        Buffer(o.name, o.dtype.value, buffer_shape(plan, o), text.tail(o.tail))
        for o in plan.outputs
    ]
    made += [
        Buffer(p.name, ir.dtype_of(p.scan.of).value, (p.blocks,), "between the launches")
        for p in schedule.partials
    ]
    if plan.checks:
        made.append(Buffer("flags", "int32", (len(plan.checks),), "sticky counters"))
    return tuple(made)
