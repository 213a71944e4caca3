"""Paged allocation of KV slots, as SGLang 0.5.23 does it for new tokens.

The engine gathers every request's last slot, runs a kernel of which every program sums the lengths of
all requests before its own, and counts the new pages on the host; positions are another such kernel, and
one more writes the slots to the request table (srt/mem_cache/allocation.py, allocator/paged.py,
kernels/ops/memory/allocator.py and kernels/ops/attention/position.py). Here one launch allocates and
one writes.
"""

from __future__ import annotations

from typing import Annotated

import metaplan as mp
from metaplan import i32, i64
from metaplan.plans.sglang_pool import Pool
from metaplan.plans.shipped import Shipped


def sglang_alloc_extend(*, pool: Pool | None = None, most: int = 8192) -> mp.Plan:
    """The plan that finds slots for the tokens from ``prefix_lens`` to ``seq_lens``.

    A token goes behind its request's last slot while that page lasts, then into free pages:
    ``free_pages`` from ``first_free`` on, in the order of the requests. ``num_new_pages`` are used.

    Args:
        pool: the KV pool; its page 0 is never free.
        most: the most new tokens of a request.
    """
    kv = pool or Pool(page=64)
    free = kv.slots // kv.page - 1

    @mp.plan
    def sglang_alloc_extend(
        req_pool_indices: Annotated[i64, "req", mp.below(kv.rows)],
        prefix_lens: Annotated[i64, "req", mp.between(0, kv.context)],
        seq_lens: Annotated[i64, "req", mp.between(0, kv.context)],
        first_free: Annotated[i32, mp.between(0, free)],
        free_pages: Annotated[i64, "free", mp.between(1, free)],
        req_to_token: Annotated[i32, "row", "context", mp.below(kv.slots)],
    ) -> mp.Outputs:
        req = mp.axis("req")
        prefix, end = i32(prefix_lens), i32(seq_lens)
        tok = mp.ragged(req, mp.expect(end - prefix, 0, most))
        owned = mp.cdiv(prefix, kv.page)
        new = mp.ragged(req, mp.maximum(mp.cdiv(end, kv.page) - owned, 0))
        last = mp.where(prefix > 0, req_to_token[req_pool_indices, mp.maximum(prefix - 1, 0)], -1)
        pos = prefix + tok.offset
        number = first_free + new.indptr + pos // kv.page - owned
        page = free_pages[mp.expect(number, 0, free - 1)]
        return dict(
            out_cache_loc=mp.where(
                pos < owned * kv.page,
                i64(last + 1 + tok.offset),
                page * kv.page + i64(pos % kv.page),
            ),
            num_new_pages=new.size,
            positions=i64(pos),
            extend_start_loc=tok.indptr,
        )

    return sglang_alloc_extend


def sglang_alloc_decode(*, pool: Pool | None = None) -> mp.Plan:
    """The plan that finds a slot for one token behind each of ``seq_lens``.

    Args:
        pool: the KV pool; its page 0 is never free.
    """
    kv = pool or Pool(page=64)
    free = kv.slots // kv.page - 1

    @mp.plan
    def sglang_alloc_decode(
        req_pool_indices: Annotated[i64, "req", mp.below(kv.rows)],
        seq_lens: Annotated[i64, "req", mp.between(0, kv.context - 1)],
        first_free: Annotated[i32, mp.between(0, free)],
        free_pages: Annotated[i64, "free", mp.between(1, free)],
        req_to_token: Annotated[i32, "row", "context", mp.below(kv.slots)],
    ) -> mp.Outputs:
        req = mp.axis("req")
        length = i32(seq_lens)
        new = length % kv.page == 0
        before = mp.maximum(length - 1, 0)
        last = i64(req_to_token[req_pool_indices, before])
        number = first_free + mp.indptr(i32(new))
        page = free_pages[mp.expect(number, 0, free - 1)]
        return dict(
            out_cache_loc=mp.where(new, page * kv.page, last + 1),
            num_new_pages=mp.sum(new, over=req),
        )

    return sglang_alloc_decode


def sglang_write_slots(*, pool: Pool | None = None, most: int = 8192) -> mp.Plan:
    """The plan that writes new slots, which lie behind each other, to the rows of their requests.

    Args:
        pool: the KV pool.
        most: the most new tokens of a request.
    """
    kv = pool or Pool(page=64)

    @mp.plan
    def sglang_write_slots(
        req_pool_indices: Annotated[i64, "req", mp.below(kv.rows), mp.DISTINCT],
        start_offset: Annotated[i64, "req", mp.between(0, kv.context)],
        end_offset: Annotated[i64, "req", mp.between(0, kv.context)],
        out_cache_loc: Annotated[i64, "tok", mp.below(kv.slots)],
        req_to_token: Annotated[i32, "row", "context", mp.below(kv.slots), mp.STATE],
    ) -> mp.Outputs:
        req = mp.axis("req")
        start, end = i32(start_offset), i32(end_offset)
        tok = mp.ragged(req, mp.expect(end - start, 0, most))
        place = req_to_token[req_pool_indices, start + tok.offset]
        return dict(written=mp.update(place, i32(out_cache_loc[tok])))

    return sglang_write_slots


def shipped() -> tuple[Shipped, ...]:
    sizes = {"req": 1024, "row": 4096}
    ragged = {"tok": 1 << 20, **sizes}
    return (
        Shipped("sglang_alloc_extend", sglang_alloc_extend, ragged),
        Shipped("sglang_alloc_decode", sglang_alloc_decode, sizes),
        Shipped("sglang_write_slots", sglang_write_slots, {"context": 131072, **ragged}),
    )
