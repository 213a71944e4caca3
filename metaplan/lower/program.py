"""The whole program of a plan: parameters, regions, buffers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from metaplan import ir, text
from metaplan.copies import counts
from metaplan.interp import buffer_shape
from metaplan.lower import opaque, partials, tails, work
from metaplan.lower.names import stride_name
from metaplan.lower.tables import width
from metaplan.program import Buffer, Kernel, Param, Program, Region, Role
from metaplan.schedule import Schedule


def lower(schedules: Sequence[Schedule], promises: Sequence[ir.Check] = ()) -> Program:
    """The kernels that carry out ``schedules``, in the order of their launch."""
    last = schedules[-1].plan
    kernels = [kernel for schedule in schedules for kernel in _kernels(schedule, len(promises))]
    made: dict[str, Buffer] = {}
    for schedule in (schedules[-1], *schedules[:-1]):
        for buffer in buffers(schedule):
            known = made.setdefault(buffer.name, buffer)
            assert (known.dtype, known.shape) == (buffer.dtype, buffer.shape), buffer.name
    if promises:
        made["flags"] = Buffer("flags", "int32", (len(promises),), "sticky counters")
    return Program(
        last.name,
        tuple(kernels),
        tuple(made.values()),
        tuple(f"{c.loc}: {c.message}" for c in promises),
        _reasons(schedules),
    )


def _reasons(schedules: Sequence[Schedule]) -> tuple[tuple[str, str], ...]:
    if len(schedules) == 1:
        return schedules[0].reasons
    kept = ", ".join(sorted(schedules[-1].kept))
    why = (
        "launches",
        f"{len(schedules)}: the earlier ones keep {kept or 'what cells hold before'}",
    )
    named = [
        (name if at == len(schedules) - 1 else f"launch {at + 1}, {name}", reason)
        for at, schedule in enumerate(schedules)
        for name, reason in schedule.reasons
    ]
    return (why, *named)


def _kernels(schedule: Schedule, promises: int) -> Iterator[Kernel]:
    plan = schedule.plan
    before = [partials.region(schedule, p, plan.name) for p in schedule.partials]
    if before:
        yield _kernel(schedule, f"{plan.name}_sums", before, promises)
    made = [work.region(schedule, w, plan.name) for w in schedule.works]
    made += [tails.region(schedule, t, plan.name) for t in schedule.tails]
    made += [opaque.region(plan, o) for o in plan.opaques]
    yield _kernel(schedule, plan.name, made, promises)


def _kernel(
    schedule: Schedule, name: str, made: list[tuple[Region, tuple[str, ...]]], promises: int
) -> Kernel:
    regions = tuple(r for r, _ in made)
    helpers = tuple(dict.fromkeys(h for _, hs in made for h in hs))
    return Kernel(name, params(schedule, regions, promises), regions, schedule.num_warps, helpers)


def params(schedule: Schedule, regions: tuple[Region, ...], promises: int) -> tuple[Param, ...]:
    """The arguments of a kernel, inputs first; only those that a region uses."""
    plan = schedule.plan
    used = {p for r in regions for p in r.params}
    every: list[Param] = []
    for i in plan.inputs:
        if i.name in schedule.kept:
            note = f"{i.shape}, kept by a launch before"
            every.append(Param(f"{i.name}_ptr", Role.WORKSPACE, i.name, i.dtype.value, note))
            continue
        if i.each:
            shape = f"int64[{i.dims[0]}, {width(i)}]"
            note = f"{shape}: the address and the strides of the {i.shape}"
            every.append(Param(f"{i.name}_ptr", Role.INPUT, i.name, "int64", note))
            continue
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
        note = f"{o.dtype.value}{_shape(o)}, {_filled(plan, o)}"
        role = Role.OUTPUT
        if o.name in schedule.kept:
            note, role = f"{o.dtype.value}{_shape(o)}, kept for a later launch", Role.WORKSPACE
        every.append(Param(f"{o.name}_ptr", role, o.name, o.dtype.value, note))
    named = {p.name for p in every}
    for read in {r.name: r for o in plan.opaques for r in o.reads}.values():
        if read.kind is ir.Held.OUTPUT and f"{read.name}_ptr" not in named:
            note = f"{read.dtype.value}, made by a launch before"
            every.append(Param(f"{read.name}_ptr", Role.OUTPUT, read.name, read.dtype.value, note))
    for p in schedule.partials:
        dtype = ir.dtype_of(p.scan.of).value
        note = f"{dtype}[{p.blocks}]: sums of {p.scan.over.name} by blocks of rows"
        every.append(Param(f"{p.name}_ptr", Role.WORKSPACE, p.name, dtype, note))
    flags = f"int32[{promises}]: broken promises, counted"
    every.append(Param("flags_ptr", Role.FLAGS, "flags", "int32", flags))
    # the copies of an output share its buffer
    named = {p.name: p for p in reversed(every) if p.name in used}
    return tuple(reversed(named.values()))


def _shape(o: ir.Output) -> str:
    dims = [str(count) for count in counts(o)]
    if o.axis is None:
        return f"[{', '.join([*dims, '1'])}]"
    if isinstance(o.axis, ir.Dense) and o.axis.parent is not None and not o.fences:
        dims += [o.axis.parent.name, str(o.axis.width)]
    else:
        dims.append(o.axis.name + (" + 1" if o.fences else ""))
    if len(o.columns) > 1:
        dims.append(str(len(o.columns)))
    return f"[{', '.join(dims)}]"


def _filled(plan: ir.Plan, o: ir.Output) -> str:
    """Who fills an output, beyond its points too."""
    for kernel in plan.opaques:
        if any(name == o.name for _, name in kernel.writes):
            return f"filled by {kernel.name}"
    if o.put is not None:
        keeps = isinstance(o.tail, ir.Keep)
        return "scattered" if keeps else f"scattered later, first {text.tail(o.tail)}"
    return f"tail: {text.tail(o.tail)}"


def buffers(schedule: Schedule) -> tuple[Buffer, ...]:
    plan = schedule.plan
    made = [
        Buffer(
            o.name,
            o.dtype.value,
            buffer_shape(plan, o),
            "between the launches" if o.name in schedule.kept else text.tail(o.tail),
        )
        for o in plan.outputs
    ]
    made += [
        Buffer(p.name, ir.dtype_of(p.scan.of).value, (p.blocks,), "between the launches")
        for p in schedule.partials
    ]
    return tuple(made)
