# pyright: basic
"""Our side of a comparison: a built plan as a bound step on the GPU, its inputs on the device or on the host."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import torch

from bench.check import on_device
from bench.workloads import Workload
from metaplan.compiler import Built
from metaplan.ir import Home


def placed(built: Built, hosted: Collection[str] = ()) -> Built:
    """``built`` with the inputs named in ``hosted`` staged from host arrays, and all others on the device."""
    inputs = tuple(
        i if not i.dims else replace(i, home=Home.HOST if i.name in hosted else Home.DEVICE)
        for i in built.bound.inputs
    )
    return replace(built, bound=replace(built.bound, inputs=inputs))


def per_request(workload: Workload) -> tuple[str, ...]:
    """The short inputs, one number a request: what a scheduler on the host writes anew each step."""
    return tuple(
        i.name
        for i in workload.plan.inputs
        if i.dims == ("req",) and not i.state and i.name not in workload.states
    )


def step_of(built: Built, device: torch.device, lag: int = 1) -> Any:
    """The step of a build, whatever schedule it has; the host may run ``lag`` steps ahead without a wait."""
    from metaplan.runtime.device_step import DeviceStep

    return DeviceStep(built, device, lag)


def bind(
    step: Any, workload: Workload, device: str, hosted: Collection[str] = ()
) -> dict[str, Any]:
    """Binds every input, host arrays of the live rows where named in ``hosted``; what was given, by name."""
    given = workload.given()
    if hosted:
        roots = workload.plan.root_names()
        live = {n: np_rows(given[n], workload.batch) for n in hosted}
        scalars = {n: v for n, v in given.items() if isinstance(v, int) or n in roots}
        arrays = {n: v for n, v in given.items() if n not in live and n not in scalars}
        values = {**on_device(arrays, device), **live, **scalars}
    else:
        values = on_device(given, device)
    step.bind(**values)
    return values


def np_rows(array: Any, rows: int) -> Any:
    return array[:rows].copy()


def filled(step: Any, values: Mapping[str, Any], workload: Workload) -> dict[str, Any]:
    """The buffers that the step fills, or the state tables that it updates."""
    return (
        {name: values[name] for name in workload.states} if workload.states else dict(step.outputs)
    )
