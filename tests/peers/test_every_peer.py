# pyright: basic
"""Every shipped plan beside the engine's own code: the same cells from the same batch."""

from __future__ import annotations

import numpy as np
import pytest

from tests.interp.differential import Compiled
from tests.peers.beside import compare
from tests.peers.families import peers

pytestmark = pytest.mark.peers
SEED = 33
PEERS = peers()


@pytest.mark.parametrize("name", [n for n, p in PEERS.items() if not p.device_only])
def test_the_engine_fills_the_same_cells(name: str) -> None:
    """The plan's meaning, its kernel and the engine's code agree on every batch."""
    peer = PEERS[name]
    ours = Compiled(peer.setup.declare().ir, peer.setup.sizes)
    for batch in peer.batches(np.random.default_rng(SEED)):
        wrong = compare(peer, ours, batch)
        assert not wrong, (peer.name, batch.label, wrong)
