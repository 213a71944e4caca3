"""The plan of the README: slots and windows of a decode step whose rejected drafts only the GPU knows."""

from __future__ import annotations

from typing import Annotated

import metaplan as mp
from metaplan import i32, i64
from metaplan.plans.shipped import Shipped


@mp.plan
def decode_slots(
    scheduled: Annotated[i32, "req", mp.between(0, 4096)],
    rejected: Annotated[i32, "req", mp.between(0, 3)],
    query_len: Annotated[i32, "req", mp.between(0, 4)],
    block_table: Annotated[i32, "req", "page", mp.below(1 << 20)],
) -> dict[str, mp.Value | mp.Out]:
    req = mp.axis("req")
    tok = mp.ragged(req, query_len)
    pos = mp.expect(scheduled - rejected - query_len + tok.offset, 0, 4095)
    win = mp.ragged(tok, mp.minimum(pos + 1, 128))
    key = pos + 1 - win.length + win.offset
    return dict(
        cu_seqlens=tok.indptr,
        positions=mp.tail(i64(pos), 0),
        slot_mapping=mp.tail(i64(block_table[req, pos // 16] * 16 + pos % 16), -1),
        window_indptr=win.indptr,
        window_slots=mp.tail(block_table[req, key // 16] * 16 + key % 16, mp.UNDEFINED),
    )


def shipped() -> tuple[Shipped, ...]:
    return (Shipped("decode_slots", lambda: decode_slots, {"req": 256}),)
