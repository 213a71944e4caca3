# pyright: basic
"""In front of an EAGLE draft: SGLang's own worker and draft backend beside one launch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from metaplan.lang.plan import Plan
from metaplan.plans.sglang_eagle import Draft, sglang_eagle_draft
from tests.peers.as_cuda import as_cuda
from tests.peers.engines import sglang
from tests.peers.peer import Batch, Peer, Setup, Tensors, Theirs
from tests.peers.sglang_eagle_parts import (
    CACHE_LOCS,
    LONGEST,
    POOL,
    REQ,
    SLOTS,
    WORKER,
    batches,
    model,
    places,
    reader,
    scheduled,
    worker,
)
from tests.peers.sglang_parts import (
    ROWS,
    SERVED,
    made,
    moved,
    named,
    request_table,
    served,
    window_pool,
)

TRITON = "srt/layers/attention/triton_backend.py"


def draft_of(tree: Draft, *, window: int = 0, sink: int = 0, rail: int = 0, mrope: bool = False):
    """The worker's draft inputs, and the draft backend's lists for every step."""

    def theirs(
        batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
    ) -> Theirs:
        steps = batch.extra.get("steps", tree.steps)
        n, cells = batch.live["req"], tree.topk * batch.live["req"]
        room = len(before[f"kv_indices_{steps - 1}"])
        lists = torch.zeros((steps, room), dtype=torch.int64, device=device)
        indptr = torch.zeros((steps, cells + 1), dtype=torch.int32, device=device)
        rail_lists = torch.zeros((steps, cells * rail), dtype=torch.int64, device=device)
        rail_indptr = torch.zeros_like(indptr)
        step, found = scheduled(batch, given, device, tree.page), named()
        kv_loc_plan = named(has_read_table=lambda *_, **__: False)
        backend = made(
            sglang().module(TRITON).TritonMultiStepDraftBackend,
            topk=tree.topk,
            speculative_num_steps=steps,
            kv_indptr=indptr,
            page_size=tree.page,
            max_context_len=LONGEST,
            draft_window_size=window,
            draft_sink_size=sink,
            kv_index_translator=reader(given, tree.page),
            window_rail=rail > 0,
            sliding_window_size=rail,
            window_kv_indptr=rail_indptr,
            cuda_graph_window_kv_indices=rail_lists,
            token_to_kv_pool=window_pool(given.get("full_to_swa")),  # pyright: ignore
        )
        module, runner = worker(), model(mrope)

        def call() -> None:
            info = named()
            with as_cuda(device):
                found.forward = module.prepare_for_draft(
                    info, step.req_to_token_pool, step, None, runner, tree.topk, steps
                )[0]
            found.positions = info.positions
            forward = named(
                batch_size=n,
                seq_lens_sum=None,
                seq_lens=given["seq_lens"],
                positions=info.positions,
                req_pool_indices=given["req_pool_indices"],
                kv_loc_plan=kv_loc_plan,
            )
            backend.common_template(forward, lists, None)

        def read() -> Mapping[str, Any]:
            positions = found.positions.view(n, tree.topk)
            said = dict(
                out_cache_loc=step.out_cache_loc.view(cells, steps),
                positions=positions.squeeze(1),
            )
            if mrope and tree.topk == 1:
                for at, row in enumerate(found.forward.spec_mrope_positions):
                    said[f"mrope_positions_{at}"] = row
            for s in range(steps):
                said[f"kv_indptr_{s}"] = indptr[s]
                said[f"kv_indices_{s}"] = lists[s, : int(indptr[s, -1])]
                if rail:
                    said[f"window_kv_indptr_{s}"] = rail_indptr[s]
                    said[f"window_kv_indices_{s}"] = rail_lists[s, : int(rail_indptr[s, -1])]
            return said

        # The copies of a tree's partial pages have as many slots as the data says: the host waits.
        return Theirs(call, read, captured=tree.topk == 1 or tree.page == 1)

    return theirs


def draft_peer(name: str, tree: Draft, mrope: bool = False, **options: Any) -> Peer:
    unified, mapped = options.pop("unified", False), options.get("swa_map")

    def tables(rng: np.random.Generator, slots: int) -> dict[str, np.ndarray]:
        if mapped:
            return dict(full_to_swa=moved(rng, slots, tree.page))
        return dict(v2p=places(rng, slots // tree.page)) if unified else {}

    def plan(steps: int, slots: int, **sizes: int) -> Plan:
        return sglang_eagle_draft(
            draft=Draft(tree.topk, steps, tree.page),
            mrope=mrope,
            v_pages=slots // tree.page if unified else 0,
            slots=slots,
            **{**options, **sizes},
        )

    def sized(req: int, states: int, context: int, slots: int) -> dict[str, int]:
        sizes = {"req": req, "state": states, "context": context}
        return {**sizes, "slot": slots + tree.page + 1} if mapped else sizes

    def bench(count: int, query: int) -> tuple[Setup, Batch]:
        rng, steps, slots = np.random.default_rng(0), max(query - 1, 1), 1 << 20
        reach = Draft(tree.topk, steps, tree.page).reach
        table = request_table(rng, ROWS, SERVED + reach, tree.page, slots)
        inputs = {**served(rng, count), "req_to_token": table, **tables(rng, slots)}
        declare = lambda: plan(steps, slots, max_model_len=SERVED, states=ROWS)  # noqa: E731
        setup = Setup(declare, sized(count, ROWS, SERVED + reach, slots))
        return setup, Batch(inputs, {"req": count}, extra=dict(steps=steps))

    kernels = ["assign_draft_cache_locs_contiguous", "generate_draft_decode_kv_indices"]
    if options.get("sliding_window"):
        kernels.append("generate_draft_decode_window_kv_indices")
    return Peer(
        name=name,
        engine="sglang",
        plan="sglang_eagle_draft",
        replaces=(
            f"{WORKER}:prepare_for_draft",
            f"{TRITON}:TritonMultiStepDraftBackend.common_template",
            *(f"{CACHE_LOCS}:{k}" for k in kernels),
        ),
        setup=Setup(
            lambda: plan(tree.steps, SLOTS, max_model_len=LONGEST, states=POOL),
            sized(REQ, POOL, LONGEST + tree.reach, SLOTS),
        ),
        batches=batches(tree.reach, tree.page, lambda rng, _: tables(rng, SLOTS)),
        theirs=draft_of(
            tree,
            window=options.get("window", 0),
            sink=options.get("sink", 0),
            rail=options.get("sliding_window", 0),
            mrope=mrope,
        ),
        bench=bench,
    )


PEERS = (
    draft_peer("SGLang EAGLE draft of a chain", Draft(), mrope=True),
    draft_peer("SGLang EAGLE draft of a tree on pages", Draft(3, 2, 4)),
    draft_peer("SGLang EAGLE draft that sees a window", Draft(2, 3, 1), window=20, sink=4),
    draft_peer(
        "SGLang EAGLE draft with sliding layers",
        Draft(2, 2, 4),
        sliding_window=16,
        swa_map=True,
    ),
    draft_peer("SGLang EAGLE draft in a unified pool", Draft(1, 3, 16), unified=True, mrope=True),
)
