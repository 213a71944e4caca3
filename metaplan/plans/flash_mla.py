"""The tile schedule of FlashMLA's decode, computed where the lengths are: on the GPU.

SGLang 0.5.23 has it as a kernel of one program (kernels/jit/csrc/deepseek_v4/flashmla_sched_meta.cuh), which goes from
part to part. Where a part starts depends on where the one before ends, so that any way is a chain: along the parts, or
along the requests where there are fewer of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import metaplan as mp
from metaplan import i32
from metaplan.lang.axes import Axis
from metaplan.plans.shipped import Shipped

MOST = 131072


@dataclass(frozen=True, slots=True)
class _Work:
    """``requests`` at most, of at most ``longest`` blocks; ``cost`` is a request's blocks and ``overhead``, ``share`` a
    part's of the costs of all.
    """

    req: Axis
    requests: int
    longest: int
    overhead: int
    cost: mp.Value
    share: mp.Value
    parts: int

    @property
    def most(self) -> int:
        return self.requests * (self.longest + self.overhead) + self.parts


Cuts = Callable[[mp.Value], mp.Value]
"""How often parts cut the requests before one."""


def _by_part(work: _Work, part: Axis) -> tuple[mp.Moment, mp.Moment, Cuts]:
    """Where each part starts and where the next one does: each takes its share from what those before have reached."""
    req, end = work.req, mp.cumsum(work.cost)

    def step(now: mp.Moment) -> dict[str, mp.Integer]:
        aim = now.reached + work.share
        room = aim + work.overhead
        request = mp.locate(end, room)
        whole = mp.sum(mp.where(end <= mp.given(room), work.cost, 0), over=req)
        cut = (request < req.size) & (aim > whole)
        same = request == now.request
        return dict(
            request=request,
            reached=mp.maximum(whole, aim),
            begin=mp.where(cut, aim - whole, 0),
            split=mp.where(same, now.split, 0) + i32(cut),
        )

    walk = mp.fold(
        part,
        step,
        request=mp.carry(0, 0, work.requests),
        reached=mp.carry(0, 0, work.most),
        begin=mp.carry(0, 0, work.longest),
        split=mp.carry(0, 0, work.parts),
    )
    last = walk.after

    def cuts(before: mp.Value) -> mp.Value:
        return mp.sum((last.begin > 0) & (last.request < mp.given(before)), over=part)

    return walk.before, last, cuts


def _by_request(work: _Work, part: Axis) -> tuple[mp.Moment, mp.Moment, Cuts]:
    """The same: from where a first part starts in a request, one starts every share, but none in its overhead."""
    req, share, cost = work.req, work.share, work.cost

    def step(now: mp.Moment) -> dict[str, mp.Integer]:
        blocks = mp.maximum(cost - work.overhead - now.into, 0)
        starts = mp.minimum(mp.cdiv(blocks, share), work.parts)
        return dict(
            into=mp.maximum(now.into + starts * share - cost, 0), number=now.number + starts
        )

    walk = mp.fold(req, step, into=mp.carry(0, 0, work.most), number=mp.carry(0, 0, work.parts))
    into, number, after = walk.before.into, walk.before.number, walk.after.number

    def start(nth: mp.Value) -> mp.Moment:
        request = mp.sum(after <= mp.given(nth), over=req)
        first, later = mp.at(into, request), nth - mp.at(number, request)
        inside = request < req.size
        return mp.Moment(
            request=request,
            begin=mp.where(inside, first + later * share, 0),
            split=mp.where(inside, later + i32(first > 0), 0),
        )

    def cuts(before: mp.Value) -> mp.Value:
        own = after - number - i32(into == 0)
        return mp.sum(mp.where(req.index < mp.given(before), own, 0), over=req)

    return start(part.index), start(part.index + 1), cuts


def flash_mla_schedule(
    *,
    parts: int = 132,
    block: int = 64,
    overhead: int = 5,
    sparse: bool = False,
    extra: bool = False,
    max_requests: int = 1024,
    max_keys: int = MOST,
) -> mp.Plan:
    """Which stretch of the batch each part of the GPU takes, and how many splits each request has.

    A part takes whole requests as long as they fit its payload, each for its blocks and an overhead; what is left of
    it takes the front of the next request.

    Args:
        parts: programs that share the work: processors / heads per program.
        block: keys of a block.
        overhead: blocks that starting a request costs.
        sparse: requests read ``topk_length`` selected keys, not all of ``seqlens_k``.
        extra: beside those, ``extra_topk_length`` keys of a second cache.
        max_requests: the capacity of the batch.
        max_keys: the most keys of a request in each cache.
    """
    longest = -(-max_keys // block) * (2 if extra else 1)
    walk = _by_request if max_requests <= parts else _by_part

    @mp.plan
    def flash_mla_schedule() -> mp.Outputs:
        keys = mp.array(
            "topk_length" if sparse else "seqlens_k", i32.KIND, "req", mp.between(0, max_keys)
        )
        req = mp.axis("req")
        part = mp.dense(None, parts)
        fence = mp.dense(None, max_requests + 1)
        tokens: mp.Value = mp.maximum(keys[req], 1) if sparse else keys[req]
        if extra:
            more = mp.array("extra_topk_length", i32.KIND, "req", mp.between(0, max_keys))
            tokens = mp.cdiv(tokens, block) * block + more[req]
        blocks = mp.maximum(mp.cdiv(tokens, block), 1)
        cost = blocks + overhead
        share = mp.maximum(mp.cdiv(mp.sum(cost, over=req), parts), 1)
        first, last, cuts = walk(
            _Work(req, max_requests, longest, overhead, cost, share, parts), part
        )
        first_cut, last_cut = first.begin > 0, last.begin > 0
        ends = mp.where(last_cut, last.request, last.request - 1)
        whole = mp.at(mp.where(tokens == 0, 0, blocks), ends)
        alone = first.request == ends
        either = first_cut | last_cut
        before = mp.minimum(fence.index, req.size)
        return dict(
            schedule=mp.on(
                part,
                first.request,
                ends,
                first.begin,
                mp.where(last_cut, last.begin, whole),
                first.split,
                i32(mp.where(alone, either, first_cut)),
                i32(mp.where(alone, either, last_cut)),
                0,
            ),
            num_splits=before + cuts(before),
        )

    return flash_mla_schedule


def shipped() -> tuple[Shipped, ...]:
    return (Shipped("flash_mla_schedule", flash_mla_schedule, {"req": 1024}),)
