# pyright: basic
"""What SGLang's EAGLE worker is given around its models: batches, and stand-ins for what it holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from metaplan.lang.plan import Plan
from tests.peers.engines import sglang
from tests.peers.peer import Batch, Setup, Tensors
from tests.peers.sglang_parts import (
    ROWS,
    SERVED,
    named,
    nothing,
    request_table,
    requests,
    served,
    translator,
)

REQ, POOL, LONGEST, SLOTS, WORDS = 5, 7, 144, 1 << 12, 1 << 15
CACHE_LOCS = "kernels/ops/speculative/cache_locs.py"
EAGLE = "kernels/ops/speculative/eagle.py"
WORKER = "srt/speculative/eagle_worker_common.py"
READER = "srt/mem_cache/kv_index_translator.py"
KINDS = "srt/mem_cache/kv_loc_plan.py"
Named = Mapping[str, Any]


def small(reach: int) -> dict[str, int]:
    """Sizes of the compared plans: a request may use ``reach`` slots behind its own."""
    return {"req": REQ, "state": POOL, "context": LONGEST + reach}


def batches(
    reach: int, page: int = 1, more: Callable[[np.random.Generator, int], Named] | None = None
) -> Callable[[np.random.Generator], Iterator[Batch]]:
    """Steps whose request table has ``reach`` slots behind each request; ``more`` inputs of ``n`` requests."""

    def steps(rng: np.random.Generator) -> Iterator[Batch]:
        for label, some in requests(rng, REQ, page, LONGEST, POOL):
            n = len(some["seq_lens"])
            if not n:
                continue  # the engine skips these calls in an idle step
            table = request_table(rng, POOL, LONGEST + reach, page, SLOTS)
            own = more(rng, n) if more else {}
            yield Batch({**some, "req_to_token": table, **own}, {"req": n}, label)

    return steps


def benched(
    declare: Callable[..., Plan],
    reach: Callable[[int], int],
    more: Callable[[np.random.Generator, int, int], Named] | None = None,
    **options: Any,
) -> Callable[[int, int], tuple[Setup, Batch]]:
    """A batch as served; ``options`` of the plan may be functions of the number of drafts."""

    def bench(count: int, query: int) -> tuple[Setup, Batch]:
        rng = np.random.default_rng(0)
        drafts = max(query - 1, 1)
        given = {n: o(drafts) if callable(o) else o for n, o in options.items()}
        table = request_table(rng, ROWS, SERVED + reach(drafts))
        own = more(rng, count, drafts) if more else {}
        batch = Batch({**served(rng, count), "req_to_token": table, **own}, {"req": count})
        sizes = {"req": count, "state": ROWS, "context": SERVED + reach(drafts)}
        plan = lambda: declare(max_model_len=SERVED, states=ROWS, **given)  # noqa: E731
        return Setup(plan, sizes), batch

    return bench


class Forward:
    """What stands for the engine's ForwardBatch: it remembers what it was made with."""

    @staticmethod
    def init_new(batch: Any, runner: Any, **given: Any) -> Any:
        return named(seq_lens=batch.seq_lens, **given)


def worker() -> Any:
    module = sglang().module(WORKER)
    module.ForwardBatch, module.EagleVerifyInput = Forward, named
    return module


def scheduled(batch: Batch, given: Tensors, device: str, page: int = 1) -> Any:
    """The scheduler's batch, with the fields that the worker reads."""
    return named(
        forward_mode=named(is_idle=lambda: False),
        seq_lens=given["seq_lens"],
        seq_lens_cpu=None,
        seq_lens_sum=None,
        req_pool_indices=given["req_pool_indices"],
        req_to_token_pool=named(req_to_token=given["req_to_token"]),
        token_to_kv_pool_allocator=named(page_size=page),
        model_config=named(vocab_size=WORDS),
        multimodal_inputs=[None] * batch.live["req"],
        device=device,
    )


def model(mrope: bool) -> Any:
    return named(
        model_config=named(model_is_mrope=mrope),
        spec_algorithm=named(is_standalone=lambda: False),
        token_to_kv_pool=named(move_kv_cache=nothing),
    )


def places(rng: np.random.Generator, pages: int) -> np.ndarray:
    """A unified pool's table, int64[pages]: where a page lies, -1 where it has no place."""
    return np.where(rng.random(pages) < 0.8, rng.integers(0, 1 << 12, pages), -1)


def reader(given: Tensors, page: int) -> Any:
    """The engine's reader of the request table, for whichever pools the batch has tables of."""
    kinds, own = sglang().module(KINDS), translator(given["req_to_token"])
    own.page_size = page
    tables = {
        kinds.IdSpaceKind.FULL: given.get("v2p", given.get("full_v2p")),
        kinds.IdSpaceKind.SLIDING_WINDOW: given.get("swa_v2p"),
    }
    for at, (kind, table) in enumerate(tables.items()):
        if table is not None or kind == kinds.IdSpaceKind.FULL:
            own._spaces[kind] = kinds.IdSpace(key=str(at), read_v2p=table)
    if "full_to_swa" in given:
        own._spaces[kinds.IdSpaceKind.SLIDING_WINDOW] = kinds.IdSpace(key="1", read_v2p=None)
    return own
