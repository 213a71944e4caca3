"""The ways to run a drawn plan: the Triton interpreter on the CPU, a step on a GPU, or a compilation only."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from metaplan import ir
from metaplan.schedule import Schedule
from metaplan.target import target

Arrays = dict[str, Any]
TARGETS = ("cuda:90", "hip:gfx942")


class Way(Protocol):
    """A compiled plan: ``run`` fills ``buffers`` and the states among ``inputs`` in place; flags by message."""

    plan: ir.Plan

    def run(
        self, inputs: Arrays, live: Mapping[str, int], buffers: Arrays
    ) -> Mapping[str, int]: ...


def drawn_change(seed: int) -> Callable[[Schedule], Schedule] | None:
    """One of the schedules that a plan may have; None: its own."""
    from tests.interp.schedules import CHANGES

    change = random.Random(seed).choice([*CHANGES, *[None] * len(CHANGES)])
    return CHANGES[change] if change else None


class Interpreted:
    """Between guard cells, under Triton's interpreter, with one of the schedules that a plan may have."""

    def __init__(self, plan: ir.Plan, sizes: Mapping[str, int], seed: int) -> None:
        from tests.interp.differential import Compiled

        self.made = Compiled(plan, sizes, drawn_change(seed))
        self.plan = self.made.plan

    def run(self, inputs: Arrays, live: Mapping[str, int], buffers: Arrays) -> Mapping[str, int]:
        flags = self.made.kernel(inputs, live, buffers)
        return {f"{n}": count for n, count in enumerate(flags)}


class OnDevice:
    """A step on the GPU."""

    def __init__(self, plan: ir.Plan, sizes: Mapping[str, int], seed: int) -> None:
        from metaplan.lang.plan import Plan

        self.step: Any = Plan(plan).compile(device="cuda", **sizes)
        self.plan = self.step.built.bound

    def run(self, inputs: Arrays, live: Mapping[str, int], buffers: Arrays) -> Mapping[str, int]:
        import torch

        step = self.step
        for name, buffer in buffers.items():
            step.outputs[name].copy_(torch.from_numpy(buffer).view(step.outputs[name].shape))
        sent = {i.name: _sent(i, inputs[i.name]) for i in self.plan.inputs}
        before = dict(step.flags())
        step(**sent, **live)
        for name, buffer in buffers.items():
            buffer[...] = step.outputs[name].cpu().numpy().reshape(buffer.shape)
        for i in self.plan.inputs:
            if i.state:
                inputs[i.name][...] = sent[i.name].cpu().numpy()
        return {n: count - before.get(n, 0) for n, count in step.flags().items()}


def _sent(i: ir.Input, given: Any) -> Any:
    import torch

    if i.home is ir.Home.HOST:
        return given
    if isinstance(given, list):
        return [torch.from_numpy(one).cuda() for one in given]
    return torch.from_numpy(np.ascontiguousarray(given)).cuda()


class Assembled:
    """Compiled for GPUs that are not here, with the schedule that is interpreted; nothing runs."""

    def __init__(self, plan: ir.Plan, sizes: Mapping[str, int], seed: int) -> None:
        from metaplan.assembly import assembly
        from metaplan.compiler import build
        from tests.interp.schedules import forced

        change = drawn_change(seed)
        for name in TARGETS:
            made = build(plan, sizes, target(name), linked=True)
            self.plan = made.bound
            assembly(forced(made, change) if change else made)


WAYS = {"cpu": Interpreted, "cuda": OnDevice, "compile": Assembled}
