"""A plan as somebody writes it who has metaplan installed: typed, linted, and compiled without a GPU."""

from __future__ import annotations

from typing import Annotated

import metaplan as mp
import numpy as np
import torch
from metaplan import boolean, i32, i64

PAGE = 16


def page_count(length: mp.Value) -> mp.Value:
    """Pages that hold ``length`` tokens."""
    return mp.cdiv(length, PAGE)


@mp.plan
def page_lists(
    seq_lens: Annotated[i32, "req", mp.between(0, 4096)],
    query_len: Annotated[i32, "req", mp.between(0, 4), mp.HOST],
    paused: Annotated[boolean, "req"],
    block_table: Annotated[i32, "req", "page_col", mp.below(1 << 20)],
    graph_tokens: Annotated[i32, mp.between(0, 4096)],
    steps_seen: Annotated[i32, "req", mp.between(0, 1 << 30), mp.STATE],
) -> mp.Outputs:
    """Where the requests that run write, and the pages that they read."""
    req = mp.axis("req")
    tok = mp.ragged(req, mp.where(paused, 0, query_len), most=4)
    page = mp.ragged(req, page_count(seq_lens))
    running = mp.compact(req, ~paused & (seq_lens > 0))
    position = mp.expect(seq_lens - query_len + tok.offset, 0, 4095)
    slot = block_table[req, position // PAGE] * PAGE + position % PAGE
    return {
        "cu_seqlens": mp.tail(tok.indptr, mp.LAST),
        "slot_mapping": mp.tail(i64(slot), -1, until=graph_tokens),
        "page_indptr": page.indptr,
        "page_indices": mp.tail(block_table[req, page.offset], mp.UNDEFINED),
        "running": mp.tail(mp.on(running, req.index), -1),
        "num_running": running.size,
        "longest": mp.max(seq_lens, req),
        "steps_seen": mp.update(steps_seen[req], mp.minimum(steps_seen + 1, 1 << 30), where=~paused),
    }


def main() -> None:
    """Fills the buffers once."""
    step = page_lists.compile(req=8, page_col=256, device="cpu")
    seen = torch.zeros(8, dtype=torch.int32)
    step(
        seq_lens=torch.tensor([33, 16], dtype=torch.int32),
        query_len=np.array([2, 1], np.int32),
        paused=torch.tensor([False, True]),
        block_table=torch.arange(8 * 256, dtype=torch.int32).reshape(8, 256),
        graph_tokens=4,
        steps_seen=seen,
        req=2,
    )
    assert list(step.slot_mapping[:5]) == [31, 32, -1, -1, 0], step.slot_mapping
    assert (int(step.num_running[0]), list(seen[:2])) == (1, [1, 0])
    print(step.explain())


if __name__ == "__main__":
    main()
