# pyright: basic
"""What stands beside an engine: one of our plans, and the engine's own code for the same buffers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from metaplan.lang.plan import Plan

Arrays = Mapping[str, Any]
"""Inputs of a plan by name: NumPy arrays, or ints for scalars."""

Tensors = Mapping[str, Any]
"""The same on a device: tensors, and ints for scalars."""


@dataclass(frozen=True)
class Batch:
    """One step: the inputs of our plan by name, and how many points of each root axis are live.

    ``extra`` is what the engine's code needs beside them, by name: host mirrors, flags, Python ints.
    ``label`` says what is nasty about it.
    """

    inputs: Arrays
    live: Mapping[str, int]
    label: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Setup:
    """A plan at one geometry, and the capacities to compile it with."""

    declare: Callable[[], Plan]
    sizes: Mapping[str, int]


@dataclass(frozen=True)
class Theirs:
    """The engine's code, prepared for one batch.

    ``call`` runs it once, as often as wanted; ``read`` gives its results by the names of our outputs
    (and of our states, after an update). A result may be shorter than our buffer: the cells that it has are
    compared, from 0 in each dimension. A pair (result, mask) is compared where the mask holds: cells that the engine leaves
    undefined. ``captured`` says whether the call can be recorded in a CUDA graph.
    """

    call: Callable[[], Any]
    read: Callable[[], Mapping[str, Any]]
    captured: bool = True


@dataclass(frozen=True)
class Peer:
    """A plan and what it replaces.

    Args:
        name: unique, in the words of the engine: "FlashInfer page lists".
        engine: "vllm" or "sglang".
        plan: the name of the shipped plan (metaplan.plans.shipped) that this is an instance of.
        replaces: the functions replaced, "path/in/package.py:Class.method", for the coverage table.
        setup: the plan for the batches of ``batches``, small enough for an interpreter.
        batches: random batches, the nasty ones among them, from a random generator.
        theirs: the engine's code for a batch whose inputs are tensors on ``device``; ``before`` are
            our output buffers (tensors, filled with garbage) as they are before the step, so that what
            a side leaves alone can be equal.
        bench: (requests, query tokens) to a plan at full size and a batch with lengths as served; the batch
            must be one that ``theirs`` takes too.
        device_only: the engine's code cannot run on a CPU.
    """

    name: str
    engine: str
    plan: str
    replaces: tuple[str, ...]
    setup: Setup
    batches: Callable[[np.random.Generator], Iterator[Batch]]
    theirs: Callable[[Batch, Tensors, Mapping[str, torch.Tensor], str], Theirs]
    bench: Callable[[int, int], tuple[Setup, Batch]]
    device_only: bool = False


def differences(ours: Mapping[str, np.ndarray], theirs: Mapping[str, Any]) -> list[str]:
    """Where the engine's results differ from our buffers, in words; empty where they agree."""
    found: list[str] = []
    for name, value in theirs.items():
        result, mask = value if isinstance(value, tuple) else (value, None)
        want = _array(result)
        have = ours[name]
        if want.ndim != have.ndim and want.size == have.size:
            have = have.reshape(want.shape)
        if want.ndim != have.ndim or any(
            w > h for w, h in zip(want.shape, have.shape, strict=True)
        ):
            found.append(f"{name}: {have.shape} cannot be compared with {want.shape}")
            continue
        have = have[tuple(slice(0, n) for n in want.shape)]
        wrong = have.astype(np.int64) != want.astype(np.int64)
        if mask is not None:
            wrong &= np.broadcast_to(_array(mask).astype(bool), wrong.shape)
        if wrong.any():
            at = tuple(int(i) for i in np.argwhere(wrong)[0])
            found.append(
                f"{name}{list(at)}: ours {have[at]}, theirs {want[at]}, {int(wrong.sum())} cells"
            )
    return found


def _array(x: Any) -> np.ndarray:
    return x.detach().cpu().numpy() if isinstance(x, torch.Tensor) else np.asarray(x)
