"""Runs a generated kernel on CPU tensors under the Triton interpreter, beside the plan's meaning.

Nothing around the kernel is friendly: buffers hold garbage and lie between guard cells, inputs are
rows of a wider array that is full of wild values, so that a read or a write in the wrong place shows.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from metaplan import interp, ir
from metaplan.checking.masks import boolean_masks
from metaplan.compiler import Built, build
from metaplan.program import Role
from metaplan.runtime.lists import addresses
from metaplan.schedule import LIMITS, Limits, Schedule
from metaplan.target import DEFAULT, Target
from tests.interp.schedules import forced
from tests.running import array, garbage, garbage_buffers

GUARD, GAP = 4096, 3
Arrays = dict[str, np.ndarray]
Change = Callable[[Schedule], Schedule]


def load(source: str, name: str) -> ModuleType:
    """The module of a kernel's text: Triton reads a kernel from a real file."""
    folder = Path(tempfile.mkdtemp(prefix="metaplan_"))
    path = folder / f"{name}.py"
    path.write_text(source)
    spec = importlib.util.spec_from_file_location(f"{name}_{folder.name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def _wild(dtype: str, cells: int) -> torch.Tensor:
    return torch.from_numpy(garbage((cells,), dtype, cells))


@dataclass(slots=True)
class Guarded:
    """An array between guard cells; ``rows`` of a matrix are ``gap`` cells apart."""

    whole: torch.Tensor
    view: torch.Tensor
    before: torch.Tensor

    @classmethod
    def of(cls, array: np.ndarray, gap: int = 0) -> Guarded:
        array = np.atleast_1d(array)
        wide = (*array.shape[:-1], array.shape[-1] + gap)
        cells = int(np.prod(wide))
        whole = _wild(array.dtype.name, cells + 2 * GUARD).clone()
        view = cls.inner(whole, wide, gap)
        view.copy_(torch.from_numpy(np.ascontiguousarray(array)))
        return cls(whole, view, whole.clone())

    @staticmethod
    def inner(whole: torch.Tensor, wide: tuple[int, ...], gap: int) -> torch.Tensor:
        return whole[GUARD : len(whole) - GUARD].view(wide)[..., : wide[-1] - gap]

    def check(self, name: str, gap: int = 0) -> None:
        """Nothing but the view has changed."""
        wide = (*self.view.shape[:-1], self.view.shape[-1] + gap)
        self.inner(self.before, wide, gap).copy_(self.view)
        assert torch.equal(self.whole, self.before), f"wrote outside {name}"


class Compiled:
    """One built plan with its kernels loaded; ``change`` forces another legal schedule."""

    def __init__(
        self,
        plan: ir.Plan,
        sizes: Mapping[str, int],
        change: Change | None = None,
        limits: Limits = LIMITS,
        target: Target = DEFAULT,
    ) -> None:
        built = build(plan, sizes, target, limits)
        self._take(built if change is None else forced(built, change))

    @classmethod
    def of(cls, built: Built, source: str = "") -> Compiled:
        """What was built already; ``source`` instead of its text."""
        made = object.__new__(cls)
        made._take(built, source)
        return made

    def _take(self, built: Built, source: str = "") -> None:
        self.built, self.plan = built, built.bound
        self.module = load(source or built.source, self.plan.name)

    def kernel(
        self, inputs: Mapping[str, Any], live: Mapping[str, int], buffers: Mapping[str, np.ndarray]
    ) -> list[int]:
        """Fills ``buffers`` (and the states among ``inputs``) in place; the counts of the flags."""
        lists = {n: [Guarded.of(a, GAP + 2 * at) for at, a in enumerate(inputs[n])]
                 for n in self.lists}  # fmt: skip
        tables = {n: addresses([one.view for one in ones]) for n, ones in lists.items()}
        given = {n: Guarded.of(np.asarray(v), gap=GAP) for n, v in inputs.items() if n not in lists}
        made = {n: Guarded.of(b) for n, b in buffers.items()}
        between = {
            b.name: Guarded.of(garbage(b.shape, b.dtype, 7))
            for b in self.built.program.buffers
            if b.name not in buffers
        }
        flags = torch.zeros(max(len(self.built.program.flags), 1), dtype=torch.int32)
        for kernel in self.built.program.kernels:
            arguments: dict[str, Any] = {}
            for p in kernel.params:
                match p.role:
                    case Role.INPUT if p.of in tables:
                        arguments[p.name] = tables[p.of]
                    case Role.INPUT:
                        arguments[p.name] = given[p.of].view
                    case Role.STRIDE:
                        arguments[p.name] = given[p.of].view.stride(p.dim)
                    case Role.LIVE:
                        arguments[p.name] = torch.tensor([live[p.of]], dtype=torch.int32)
                    case Role.FLAGS:
                        arguments[p.name] = flags
                    case Role.WORKSPACE:
                        arguments[p.name] = between[p.of].view
                    case _:
                        arguments[p.name] = made[p.of].view
            with boolean_masks():
                getattr(self.module, kernel.name)[(kernel.grid,)](**arguments)
        for name, buffer in made.items():
            buffer.check(name)
            buffers[name][...] = buffer.view.numpy().reshape(buffers[name].shape)
        for name, workspace in between.items():
            workspace.check(name)
        for name in self.states:
            given[name].check(name, GAP)
            inputs[name][...] = given[name].view.numpy()
        return flags.tolist()

    def meaning(
        self, inputs: Mapping[str, Any], live: Mapping[str, int], buffers: Mapping[str, np.ndarray]
    ) -> Counter[str]:
        """The same through the NumPy interpreter."""
        given = {n: v if n in self.lists else np.atleast_1d(v) for n, v in inputs.items()}
        return interp.run(self.plan, given, live, buffers)

    @property
    def states(self) -> frozenset[str]:
        return frozenset(i.name for i in self.plan.inputs if i.state)

    @property
    def lists(self) -> frozenset[str]:
        return frozenset(i.name for i in self.plan.inputs if i.each)

    def defined(
        self, inputs: Mapping[str, Any], live: Mapping[str, int], seed: int, once: Arrays
    ) -> Arrays:
        """Which cells of each buffer the plan says anything of: all but those of undefined tails.

        ``once``: what it makes of the buffers of ``seed``.
        """
        loose = {o.name for o in self.plan.outputs if isinstance(o.tail, ir.Undefined)}
        twice = {n: ~b for n, b in garbage_buffers(self.plan, seed).items()}
        if loose:
            self.meaning({n: v.copy() for n, v in inputs.items()}, live, twice)
        return {n: (b == twice[n]) | (n not in loose) for n, b in once.items()}


def split(compiled: Compiled, inputs: Mapping[str, Any]) -> tuple[Arrays, dict[str, int]]:
    """Inputs, each in its dtype, and live sizes apart."""
    declared = {i.name: i for i in compiled.plan.inputs}
    roots = set(compiled.plan.root_names())
    given = {n: array(declared[n], v) for n, v in inputs.items() if n in declared}
    return given, {n: int(v) for n, v in inputs.items() if n in roots}


def first_difference(want: np.ndarray, got: np.ndarray, said: np.ndarray) -> str:
    """Where two buffers differ, for a person; empty where they do not."""
    differs = (want != got) & said
    if not differs.any():
        return ""
    at = tuple(int(i) for i in np.argwhere(differs)[0])
    return f"{list(at)} is {got[at]}, the plan means {want[at]}; {int(differs.sum())} cells differ"


def compare(
    compiled: Compiled, inputs: Mapping[str, Any], seed: int = 0, *, exact: bool = True
) -> Arrays:
    """Asserts that the kernel does to every buffer and state what the plan means; returns them.

    A promise that the meaning sees broken, the kernel counts. The reverse holds where a promise is
    made on the axis on which it is used, which ``exact`` asks for: a row without points still counts.
    """
    given, live = split(compiled, inputs)
    want, got = garbage_buffers(compiled.plan, seed), garbage_buffers(compiled.plan, seed)
    mine, theirs = ({n: v.copy() for n, v in given.items()} for _ in range(2))
    broken = compiled.meaning(mine, live, want)
    flags = compiled.kernel(theirs, live, got)
    said = compiled.defined(given, live, seed, want)
    wrong = {n: first_difference(want[n], got[n], said[n]) for n in want}
    wrong |= {
        n: first_difference(mine[n], theirs[n], np.ones(mine[n].shape, bool))
        for n in compiled.states
    }
    wrong = {n: text for n, text in wrong.items() if text}
    assert not wrong, wrong
    assert sum(flags) or not broken, (broken, flags)
    assert broken or not (exact and sum(flags)), (broken, flags)
    return got | {n: theirs[n] for n in compiled.states}
