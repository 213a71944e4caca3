# pyright: basic
"""The two sides that bench.peers measures are the peer's: here on the CPU, with one peer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench import measure
from bench.beside import Beside
from bench.counted import measured
from bench.peers import Small, interpreted
from metaplan.checking.masks import boolean_masks
from tests.peers.families import peers

pytestmark = pytest.mark.peers
NAME = "vLLM FlashInfer page lists"


def test_the_smoke_sees_a_peer_at_full_size():
    assert interpreted(Small(NAME))["checked"]


def test_a_side_that_differs_is_told():
    cell = Beside(peers()[NAME], 3, 2, "cpu")
    with boolean_masks():
        assert not cell.wrong()
        cell.batch.inputs["seq_lens"][1] += 16
        assert any("paged_kv_indptr[2]" in words for words in cell.wrong())


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("captured", [False, True])
def test_what_is_timed_is_a_step_of_each_side(monkeypatch, captured, live):
    """As on a GPU, but for what only a GPU has: a graph records by running."""
    peer = peers()[NAME]

    def theirs(*given):
        return replace(peer.theirs(*given), captured=captured)

    def record(call, calls, repeats):
        call()
        return 2.0

    cell = Beside(replace(peer, theirs=theirs), 3, 2, "cpu", live=live)
    cell.step.emit = cell.step
    monkeypatch.setattr(measure, "awake", lambda: None)
    monkeypatch.setattr(measure, "graph_us", record)
    monkeypatch.setattr(measure, "cpu_us", lambda call, *_: (call(), 3.0)[1])
    row = cell.times(7)
    assert row["theirs"]["cpu_us"] == row["ours"]["cpu_us"] == 3.0
    # what a number from the host costs is told where the plan takes one
    assert row["ours"].get("cpu_us_host") == (3.0 if live else None)
    assert row.get("gpu_by") == ("graph" if captured else None)
    assert cell.counts()["ours"].keys() >= {"launches", "synchronizations"}
    assert cell.events()["gpu_by"] == "events"


def test_a_row_of_the_coverage_is_measured():
    row = measured(NAME)
    assert (row["plan"], row["equal"]) == ("vllm_flashinfer", row["batches"])
    assert row["theirs"] == {"launches": 1, "copies": 2, "waits": 0}
    assert None not in row["there"].values()
    assert [*row["here"]] == ["vllm_flashinfer.py:vllm_flashinfer"]
