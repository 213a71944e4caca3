"""What ``metaplan demo`` runs: generated traffic through the plans, then one small step to draw."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from metaplan.picture import Snapshot, draw
from metaplan.plans.paged_decode import paged_decode
from metaplan.replay import CONVERSATION, Settings, generate
from metaplan.replay.run import Ran, Replay
from metaplan.replay.sides import Side

NAME = "generated conversation traffic"
STEPS = 400
REQUESTS = 400
SETTINGS = Settings(max_requests=32, max_tokens=1024)
PAGE, WINDOW = 4, 6
# Four requests: drafts accepted and rejected, a page just begun, a window longer than the context.
NUM_TOKENS = (10, 6, 15, 3)
NUM_REJECTED = (1, 0, 2, 0)
QUERY_LEN = (3, 1, 4, 2)
BLOCK_TABLE = ((5, 2, 8, 0), (0, 7, 0, 0), (3, 9, 1, 6), (10, 0, 0, 0))


def introduction(steps: int, device: str) -> str:
    """What is about to happen, in a person's words."""
    how = "kernels on the GPU" if device == "cuda" else "in NumPy: the meaning of the plans"
    return (
        f"{steps} decode steps of {NAME}: {CONVERSATION.requests_per_second} requests a second,\n"
        f"up to {SETTINGS.max_requests} at once, {SETTINGS.drafts} draft token each, pages reused.\n"
        f"Each step fills the buffers of four plans ({how})\n"
        f"and compares every cell with the oracle."
    )


def running(where: Side) -> Iterator[Ran]:
    """The demo's steps, one after the other."""
    return Replay(SETTINGS, where).run(generate(CONVERSATION, REQUESTS, seed=0))


def picture(path: Path) -> Path:
    """Runs paged_decode on four requests in NumPy and draws its buffers as a PNG at ``path``."""
    return draw(small_step(), path)


def small_step() -> Snapshot:
    """The buffers of paged_decode after one step of four requests, tails included."""
    requests = len(NUM_TOKENS)
    plan = paged_decode(
        page=PAGE, window=WINDOW, ring=WINDOW + 3, most=4, max_model_len=16, num_pages=16
    )
    step = plan.compile(req=6, tok=14, page_col=4, row=requests, device="cpu")
    num_tokens, num_rejected, query_len = (
        np.array(values, np.int32) for values in (NUM_TOKENS, NUM_REJECTED, QUERY_LEN)
    )
    step(
        num_tokens=num_tokens,
        num_rejected=num_rejected,
        query_len=query_len,
        table_row=np.arange(requests, dtype=np.int32),
        block_table=np.array(BLOCK_TABLE, np.int32),
        graph_tokens=12,
        req=requests,
    )
    return Snapshot(
        page=PAGE,
        window=WINDOW,
        requests=requests,
        num_tokens=num_tokens,
        num_rejected=num_rejected,
        query_len=query_len,
        cu_seqlens=np.asarray(step.cu_seqlens_q),
        seq_lens=np.asarray(step.seq_lens),
        page_table=np.asarray(step.page_table),
        positions=np.asarray(step.positions),
        slot_mapping=np.asarray(step.slot_mapping),
        window_indptr=np.asarray(step.window_indptr),
        window_indices=np.asarray(step.window_indices),
    )
