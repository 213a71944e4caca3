# pyright: basic
"""A built plan under the Triton interpreter, on CPU tensors: correctness of what the GPU will be timed on."""

from __future__ import annotations

from typing import Any

import torch
import triton

from bench.check import Judge
from bench.workloads import Workload
from metaplan.compiler import Built
from metaplan.program import Role
from metaplan.runtime import modules
from tests.interpreter_masks import boolean_masks


def run(built: Built, workload: Workload) -> list[str]:
    """What is wrong with the buffers that the kernels of ``built`` fill; nothing, if all is well."""
    if not triton.knobs.runtime.interpret:
        raise SystemExit("set TRITON_INTERPRET=1: without a GPU the kernels run in its interpreter")
    judge = Judge(workload, "cpu")
    given, buffers = workload.given(), judge.buffers()
    module = modules.load(built.source, built.program.name)
    flags = torch.zeros(max(len(built.program.flags), 1), dtype=torch.int32)
    tensors = {
        name: torch.tensor([value], dtype=torch.int32)
        if isinstance(value, int)
        else torch.from_numpy(value)
        for name, value in given.items()
    }
    tensors |= {name: buffers[name] for name in workload.states}
    types = {"int32": torch.int32, "int64": torch.int64}
    between = {
        b.name: torch.full(b.shape, -1, dtype=types[b.dtype])
        for b in built.program.buffers
        if b.name not in buffers and b.name != "flags"
    }
    for kernel in built.program.kernels:
        arguments: dict[str, Any] = {}
        for p in kernel.params:
            match p.role:
                case Role.STRIDE:
                    arguments[p.name] = tensors[p.of].stride(p.dim)
                case Role.FLAGS:
                    arguments[p.name] = flags
                case Role.OUTPUT:
                    arguments[p.name] = buffers[p.of]
                case Role.WORKSPACE:
                    arguments[p.name] = between[p.of]
                case _:
                    arguments[p.name] = tensors[p.of]
        with boolean_masks():
            getattr(module, kernel.name)[kernel.grid,](**arguments)
    broken = [f"{built.program.flags[n]}: {c}" for n, c in enumerate(flags.tolist()) if c]
    return [*broken, *judge.wrong(buffers)]
