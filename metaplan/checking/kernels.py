# pyright: basic
"""One batch through the kernel and through NumPy: where they differ, in words."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
import torch

from metaplan import interp, ir
from metaplan.checking.batches import Array, Batch
from metaplan.checking.masks import boolean_masks
from metaplan.compiler import Built
from metaplan.program import Program, Role
from metaplan.runtime import modules
from metaplan.runtime.lists import addresses

Buffers = dict[str, Array]


def differences(built: Built, batch: Batch, seed: int) -> list[str]:
    """A sentence for each output and state that the kernel fills otherwise than the plan means."""
    plan = built.bound
    want, got, other = (_buffers(plan, seed + shift) for shift in (0, 0, 1))
    states = [one.name for one in plan.inputs if one.state]
    meant, made = ({n: a.copy() for n, a in batch.inputs.items()} for _ in range(2))
    interp.run(plan, meant, batch.live, want)
    interp.run(plan, {n: a.copy() for n, a in batch.inputs.items()}, batch.live, other)
    launch(built, made, batch.live, got)
    loose = {o.name for o in plan.outputs if isinstance(o.tail, ir.Undefined)}
    said = {n: (want[n] == other[n]) | (n not in loose) for n in want}
    found = [_difference(n, want[n], got[n], said[n]) for n in want]
    found += [_difference(n, meant[n], made[n], np.ones(meant[n].shape, bool)) for n in states]
    return [words for words in found if words]


def _buffers(plan: ir.Plan, seed: int) -> Buffers:
    """Buffers at capacity full of garbage, as a step may find them."""
    rng = np.random.default_rng(seed)
    return {
        o.name: rng.integers(0, 2 if o.dtype is ir.DType.BOOL else 255, interp.buffer_shape(plan, o))
        .astype(o.dtype.value)
        for o in plan.outputs
    }  # fmt: skip


def launch(built: Built, inputs: dict[str, Any], live: dict[str, int], buffers: Buffers) -> int:
    """Runs the kernels on a GPU, or on CPU tensors where triton is an interpreter.

    Fills ``buffers`` and the states among ``inputs`` in place; the number of broken promises.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    lists = {n: [torch.from_numpy(a).to(device) for a in inputs[n]]
             for n, value in inputs.items() if isinstance(value, list)}  # fmt: skip
    arrays = {n: a for n, a in (inputs | buffers).items() if n not in lists}
    given = {n: torch.from_numpy(a).to(device) for n, a in arrays.items()}
    given |= {n: addresses(tensors) for n, tensors in lists.items()}
    scratch = {
        b.name: torch.zeros(b.shape, dtype=getattr(torch, b.dtype), device=device)
        for b in built.program.buffers
        if b.name not in buffers
    }
    sizes = {n: torch.tensor([k], dtype=torch.int32, device=device) for n, k in live.items()}
    run(built.program, modules.load(built.source, built.program.name), scratch | sizes | given)
    for name, array in arrays.items():
        array[...] = given[name].cpu().numpy()
    return int(scratch["flags"].sum()) if "flags" in scratch else 0


def run(program: Program, module: ModuleType, tensors: Mapping[str, torch.Tensor]) -> None:
    """The kernels of ``module`` in order; ``tensors`` has all that they take, by what it is of."""
    for kernel in program.kernels:
        arguments: dict[str, Any] = {
            p.name: tensors[p.of].stride(p.dim) if p.role is Role.STRIDE else tensors[p.of]
            for p in kernel.params
        }
        with boolean_masks():
            getattr(module, kernel.name)[(kernel.grid,)](**arguments, num_warps=kernel.num_warps)


def _difference(name: str, want: Array, got: Array, said: Array) -> str:
    wrong = (want != got) & said
    if not wrong.any():
        return ""
    at = tuple(int(i) for i in np.argwhere(wrong)[0])
    where = ", ".join(map(str, at))
    return (
        f"{name}[{where}] is {got[at]}, the plan means {want[at]} ({int(wrong.sum())} cells differ)"
    )
