"""A kernel of the user's own as a region: its text as it is, and what it is called with."""

from __future__ import annotations

from metaplan import ir
from metaplan.lower.names import stride_name
from metaplan.program import Region


def region(plan: ir.Plan, kernel: ir.Opaque) -> tuple[Region, tuple[str, ...]]:
    """The region that calls ``kernel``; it needs no helpers of ours."""
    sources = {i.name: i for i in plan.inputs}
    params: list[str] = []
    for read in kernel.reads:
        params.append(f"{read.name}_size_ptr" if read.kind is ir.Held.LIVE else f"{read.name}_ptr")
        if read.kind is ir.Held.INPUT:
            params += [stride_name(sources[read.name], at) for at in range(read.dims - 1)]
    params += [f"{output}_ptr" for _, output in kernel.writes]
    names = ", ".join(output for _, output in kernel.writes)
    programs = kernel.programs if isinstance(kernel.programs, int) else plan.size(kernel.programs)
    texts = tuple(text for _, text in kernel.texts)
    return Region(
        kernel.name, f"{names}: a kernel of the plan's own.", tuple(params), programs, (), texts
    ), ()
