# pyright: basic
"""A peer on the CPU: the plan's meaning and its kernel beside the engine's code, on one batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from metaplan import interp
from metaplan.checking.masks import boolean_masks
from tests.interp.differential import Compiled
from tests.peers.peer import Batch, Peer, Theirs, differences
from tests.running import garbage_buffers

MEANING, KERNEL = "interp", "kernel"
Arrays = dict[str, np.ndarray]


def prepared(peer: Peer, plan: Any, batch: Batch) -> Theirs:
    """The engine's code on copies of its own."""
    return peer.theirs(batch, *given_of(batch, plan), "cpu")


def given_of(batch: Batch, plan: Any) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Copies of the inputs, and of the garbage that our buffers hold before, as the engine's code takes them."""
    given = {n: _on_cpu(x) for n, x in batch.inputs.items()}
    return given, {n: torch.from_numpy(b) for n, b in garbage(plan).items()}


def garbage(plan: Any) -> Arrays:
    """What every buffer holds before a step."""
    return garbage_buffers(plan, 5)


def wrong(
    run: Theirs, ours: Compiled, batch: Batch, ways: tuple[str, ...] = (MEANING, KERNEL)
) -> list[str]:
    """Where our buffers and states differ from what the engine's code has left, in words."""
    results = run.read()
    found: list[str] = []
    for way in ways:
        buffers, broken = _filled(ours, batch, way)
        found += [f"{way}: broken promise: {words}" for words in broken]
        found += [f"{way}: {words}" for words in differences(buffers, results)]
    return found


def compare(
    peer: Peer, ours: Compiled, batch: Batch, ways: tuple[str, ...] = (MEANING, KERNEL)
) -> list[str]:
    """Runs both sides on ``batch``; where they differ, in words."""
    run = prepared(peer, ours.plan, batch)
    with boolean_masks():
        run.call()
    return wrong(run, ours, batch, ways)


def _filled(ours: Compiled, batch: Batch, way: str) -> tuple[Arrays, list[str]]:
    """Our buffers and states after a step, and the promises that the batch broke."""
    buffers = garbage(ours.plan)
    inputs = {n: np.array(x, ndmin=1) for n, x in batch.inputs.items()}
    if way == MEANING:
        broken = [*interp.run(ours.plan, inputs, batch.live, buffers)]
    else:
        counts = ours.kernel(inputs, batch.live, buffers)
        flags = ours.built.program.flags
        broken = [flags[at] for at, count in enumerate(counts) if count]
    return buffers | {n: inputs[n] for n in ours.states}, broken


def _on_cpu(x: Any) -> Any:
    return torch.from_numpy(x.copy()) if isinstance(x, np.ndarray) else x
