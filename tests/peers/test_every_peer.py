# pyright: basic
"""Every shipped plan beside the engine's own code: the same cells from the same batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from metaplan import interp
from metaplan.checking.masks import boolean_masks
from tests.interp.differential import Compiled
from tests.peers.families import peers
from tests.peers.peer import Peer, differences
from tests.running import garbage_buffers

pytestmark = pytest.mark.peers
SEED = 33
PEERS = peers()


@pytest.mark.parametrize("name", [n for n, p in PEERS.items() if not p.device_only])
def test_the_engine_fills_the_same_cells(name: str) -> None:
    peer = PEERS[name]
    ours = Compiled(peer.setup.declare().ir, peer.setup.sizes)
    for batch in peer.batches(np.random.default_rng(SEED)):
        check(peer, ours, batch)


def check(peer: Peer, ours: Compiled, batch) -> None:
    """The plan's meaning, its kernel and the engine's code agree on one batch."""
    before = garbage_buffers(ours.plan, 5)
    engine = {n: on_cpu(x) for n, x in batch.inputs.items()}
    given = {n: np.atleast_1d(np.asarray(x)) for n, x in batch.inputs.items()}
    states = {i.name for i in ours.plan.inputs if i.state}
    with boolean_masks():
        run = peer.theirs(
            batch, engine, {n: torch.from_numpy(b.copy()) for n, b in before.items()}, "cpu"
        )
        run.call()
    for way in ("interp", "kernel"):
        buffers = {n: b.copy() for n, b in before.items()}
        inputs = {n: x.copy() for n, x in given.items()}
        if way == "interp":
            broken = dict(interp.run(ours.plan, inputs, batch.live, buffers))
        else:
            broken = [n for n in ours.kernel(inputs, batch.live, buffers) if n]
        assert not broken, (peer.name, batch.label, way, broken)
        found = buffers | {n: inputs[n] for n in states}
        wrong = differences(found, run.read())
        assert not wrong, (peer.name, batch.label, way, wrong)


def on_cpu(x):
    return torch.from_numpy(x.copy()) if isinstance(x, np.ndarray) else x
