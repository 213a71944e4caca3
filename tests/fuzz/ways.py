"""The ways to run a drawn plan: the Triton interpreter on the CPU, a step on a GPU, or a compilation only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from metaplan import ir
from metaplan.target import DEFAULT, target
from tests.fuzz.choices import choice

Arrays = dict[str, Any]
TARGETS = ("cuda:90", "hip:gfx942")


class Way(Protocol):
    """A compiled plan: ``run`` fills ``buffers`` and the states among ``inputs`` in place; flags by message."""

    plan: ir.Plan

    def run(
        self, inputs: Arrays, live: Mapping[str, int], buffers: Arrays
    ) -> Mapping[str, int]: ...


class Interpreted:
    """Between guard cells, under Triton's interpreter, built as the seed chooses."""

    def __init__(self, plan: ir.Plan, sizes: Mapping[str, int], seed: int) -> None:
        from tests.interp.differential import Compiled

        own = choice(seed)
        self.made = Compiled(plan, sizes, own.change, own.limits, own.on(DEFAULT))
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
    """Compiled for GPUs that are not here, built as what is interpreted; nothing runs."""

    def __init__(self, plan: ir.Plan, sizes: Mapping[str, int], seed: int) -> None:
        from metaplan.assembly import assembly
        from metaplan.compiler import build
        from tests.interp.schedules import forced

        own = choice(seed)
        for name in TARGETS:
            made = build(plan, sizes, own.on(target(name)), own.limits, linked=True)
            self.plan = made.bound
            assembly(forced(made, own.change) if own.change else made)


WAYS = {"cpu": Interpreted, "cuda": OnDevice, "compile": Assembled}
