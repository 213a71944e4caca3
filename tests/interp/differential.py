"""Runs a generated kernel on CPU tensors under the Triton interpreter, beside the plan's meaning."""

from __future__ import annotations

import importlib.util
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from metaplan import interp, ir
from metaplan.compiler import Built, build
from metaplan.program import Role
from metaplan.target import DEFAULT
from tests.interpreter_masks import boolean_masks

SENTINEL = -77


def load(source: str, name: str) -> ModuleType:
    """The module of a kernel's text: Triton reads a kernel from a real file."""
    folder = Path(tempfile.mkdtemp(prefix="metaplan_"))
    path = folder / f"{name}.py"
    path.write_text(source)
    spec = importlib.util.spec_from_file_location(f"{name}_{folder.name}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def empty(plan: ir.Plan) -> dict[str, np.ndarray]:
    """Buffers at capacity, full of a value that no plan computes."""
    made: dict[str, np.ndarray] = {}
    for o in plan.outputs:
        fill = 99 if o.dtype in (ir.DType.U8,) else SENTINEL
        made[o.name] = np.full(interp.buffer_shape(plan, o), fill).astype(o.dtype.value)
    return made


class Compiled:
    """One built plan, with its kernels loaded."""

    def __init__(self, plan: ir.Plan, sizes: Mapping[str, int]) -> None:
        self.built: Built = build(plan, sizes, DEFAULT)
        self.module = load(self.built.source, plan.name)

    def kernel(
        self, inputs: Mapping[str, Any], live: Mapping[str, int], buffers: Mapping[str, np.ndarray]
    ) -> list[int]:
        """Fills ``buffers`` (and the states among ``inputs``) in place; the counts of the flags."""
        given = {n: torch.from_numpy(np.atleast_1d(np.asarray(v))) for n, v in inputs.items()}
        made = {n: torch.from_numpy(b) for n, b in buffers.items()}
        flags = torch.zeros(max(len(self.built.program.flags), 1), dtype=torch.int32)
        for kernel in self.built.program.kernels:
            arguments: dict[str, Any] = {}
            for p in kernel.params:
                match p.role:
                    case Role.INPUT:
                        arguments[p.name] = given[p.of]
                    case Role.STRIDE:
                        arguments[p.name] = given[p.of].stride(p.dim)
                    case Role.LIVE:
                        arguments[p.name] = torch.tensor([live[p.of]], dtype=torch.int32)
                    case Role.FLAGS:
                        arguments[p.name] = flags
                    case _:
                        arguments[p.name] = made[p.of]
            with boolean_masks():
                getattr(self.module, kernel.name)[(kernel.grid,)](**arguments)
        return flags.tolist()

    def meaning(
        self, inputs: Mapping[str, Any], live: Mapping[str, int], buffers: Mapping[str, np.ndarray]
    ) -> Counter[str]:
        """The same through the NumPy interpreter."""
        given = {n: np.atleast_1d(np.asarray(v)) for n, v in inputs.items()}
        return interp.run(self.built.bound, given, live, buffers)


def split(compiled: Compiled, inputs: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, int]]:
    """Inputs and live sizes apart."""
    names = {i.name for i in compiled.built.bound.inputs}
    roots = set(compiled.built.bound.root_names())
    given = {
        n: np.array(v, dtype=next(i.dtype.value for i in compiled.built.bound.inputs if i.name == n))
        for n, v in inputs.items()
        if n in names
    }
    return given, {n: int(v) for n, v in inputs.items() if n in roots}


def compare(compiled: Compiled, inputs: Mapping[str, Any]) -> None:
    """Asserts that the kernel fills every buffer as the plan means, undefined tails apart."""
    given, live = split(compiled, inputs)
    states = {i.name for i in compiled.built.bound.inputs if i.state}
    want, got = empty(compiled.built.bound), empty(compiled.built.bound)
    mine = {n: v.copy() if n in states else v for n, v in given.items()}
    theirs = {n: v.copy() if n in states else v for n, v in given.items()}
    compiled.meaning(mine, live, want)
    compiled.kernel(theirs, live, got)
    for name in want:
        assert np.array_equal(want[name], got[name]), (
            name,
            np.argwhere(want[name] != got[name])[:5].tolist(),
            want[name].reshape(-1)[:40].tolist(),
            got[name].reshape(-1)[:40].tolist(),
        )
    for name in states:
        assert np.array_equal(mine[name], theirs[name]), name
