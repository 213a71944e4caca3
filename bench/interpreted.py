# pyright: basic
"""A built plan under the Triton interpreter, on CPU tensors: correctness of what the GPU will be timed on."""

from __future__ import annotations

import torch
import triton

from bench.check import Judge, on_device
from bench.workloads import Workload
from metaplan.checking.kernels import run as run_kernels
from metaplan.compiler import Built
from metaplan.runtime import modules


class Interpreted:
    """A built plan with tensors bound; each call runs its kernels."""

    def __init__(self, built: Built, judge: Judge) -> None:
        if not triton.knobs.runtime.interpret:
            raise SystemExit(
                "set TRITON_INTERPRET=1: without a GPU the kernels run in its interpreter"
            )
        self.built, self.buffers = built, judge.buffers()
        self.module = modules.load(built.source, built.program.name)
        self.flags = torch.zeros(max(len(built.program.flags), 1), dtype=torch.int32)
        states = {name: self.buffers[name] for name in judge.workload.states}
        types = {"int32": torch.int32, "int64": torch.int64}
        between = {
            b.name: torch.full(b.shape, -1, dtype=types[b.dtype])
            for b in built.program.buffers
            if b.name not in self.buffers and b.name != "flags"
        }
        given = on_device(judge.workload.given(), "cpu") | states
        self.tensors = {**given, **self.buffers, **between, "flags": self.flags}

    def __call__(self) -> None:
        run_kernels(self.built.program, self.module, self.tensors)

    def broken(self) -> list[str]:
        """Promises of the data that were not kept."""
        counts = self.flags.tolist()
        return [f"{self.built.program.flags[n]}: {c}" for n, c in enumerate(counts) if c]


def run(built: Built, workload: Workload) -> list[str]:
    """What is wrong with the buffers that the kernels of ``built`` fill; nothing, if all is well."""
    judge = Judge(workload, "cpu")
    step = Interpreted(built, judge)
    step()
    return [*step.broken(), *judge.wrong(step.buffers)]
