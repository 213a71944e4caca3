# pyright: basic
"""FlashAttention's metadata for a tree of drafts: SGLang's replay preparation beside our launches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from metaplan.lang.plan import Plan
from metaplan.plans.sglang_fa3_tree import sglang_fa3_tree, sglang_fa3_tree_drafts
from metaplan.plans.sglang_pool import Pool
from tests.peers.engines import sglang
from tests.peers.peer import Batch, Tensors, Theirs
from tests.peers.sglang_fa3_parts import BACKEND, backend
from tests.peers.sglang_parts import named
from tests.peers.sglang_steps import REQ, Case, mode

TREE = (
    f"{BACKEND}:FlashAttentionBackend._apply_cuda_graph_metadata",
    "kernels/ops/attention/trtllm_mha_page_table.py:build_trtllm_mha_page_table",
)
DRAFTS = (TREE[0], f"{BACKEND}:draft_decode_set_expand_metadata")


def masks(rng: np.random.Generator, inputs: Any, pool: Pool, extra: Any, at: int) -> dict[str, Any]:
    """Which tokens a draft sees: any, none or all of the drafts; garbage behind the last row."""
    drafts, seq_lens = extra["drafts"], inputs["seq_lens"]
    real = int((inputs["req_pool_indices"] > 0).sum())
    cells = int((drafts * (seq_lens[:real] + drafts)).sum())
    room = cells if at < 0 else REQ * drafts * (pool.context + drafts)
    kind = at // 2 % 4
    some = rng.integers(0, 2, room) if kind < 2 else np.full(room, kind == 3)
    return dict(custom_mask=some.astype(bool), real_drafts=real * drafts)


def theirs(batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str) -> Theirs:
    n, drafts, joined = batch.live["req"], batch.extra["drafts"], batch.extra["joined"]
    own = {k: torch.zeros_like(x) if "cu_" in k else x.clone() for k, x in before.items()}
    if joined:
        own["page_table"].zero_()  # the engine translates what lies behind a row's pages too
    metadata = sglang().module(BACKEND).FlashAttentionMetadata

    def record(name: str, rows: int) -> Any:
        return metadata(
            cache_seqlens_int32=own[f"{name}cache_seqlens"].view(-1)[:rows],
            cu_seqlens_k=own[f"{name}cu_seqlens_k"][: rows + 1],
            page_table=own[f"{name}page_table"][:rows],
        )

    records = {
        "target_verify_metadata_topk_normal": {n: record("", n)},
        "target_verify_metadata_topk_expand": {n: record("expand_", n * drafts)},
    }
    if joined:
        records["target_verify_metadata_topk_swa"] = {n: record("swa_", n * drafts)}
    run = backend(batch, given, topk=2, has_swa=joined, **records)
    run.speculative_num_draft_tokens = drafts
    real = int(batch.inputs["real_drafts"])
    spec = named(
        positions=torch.zeros(real, dtype=torch.int64, device=device),
        custom_mask=given["custom_mask"],
    )
    rows = (given["req_pool_indices"], given["seq_lens"])

    def call() -> None:
        run._apply_cuda_graph_metadata(None, n, *rows, None, mode("target_verify"), spec, None)

    def read() -> Mapping[str, Any]:
        found: dict[str, Any] = {
            k: x[: (n if k == "cu_seqlens_k" else n * drafts) + 1] if "cu_" in k else x
            for k, x in own.items()
        }
        if joined:
            page = torch.arange(own["page_table"].shape[1], device=device)
            live = page < given["seq_lens"][:, None]
            found["page_table"] = (own["page_table"][:n], live)
        return found

    return Theirs(call, read)


def branches(
    rng: np.random.Generator, inputs: Any, pool: Pool, extra: Any, at: int
) -> dict[str, Any]:
    """Slots of every branch, one behind the other from any place of a page."""
    n, topk, steps = len(inputs["seq_lens"]), extra["topk"], extra["steps"]
    place = rng.integers(0, pool.page, (n, topk, 1)) + np.arange(steps)
    pages = rng.integers(1, pool.slots // pool.page, (n, topk, steps + 1))
    page = np.take_along_axis(pages, place // pool.page, axis=2)
    return dict(out_cache_loc=(page * pool.page + place % pool.page).reshape(n, topk * steps))


def compiled(function: Any, device: str) -> Any:
    """The engine's function as it compiles it; on a CPU as it is, which takes less than compiling."""
    plain = getattr(function, "_torchdynamo_orig_callable", function)
    return plain if device == "cpu" else torch.compile(plain, dynamic=True)


def drafts(batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str) -> Theirs:
    """All draft steps of a tree, one after the other as the engine prepares them."""
    n, pool, own = batch.live["req"], batch.extra["pool"], {k: x.clone() for k, x in before.items()}
    topk, steps = batch.extra["topk"], batch.extra["steps"]
    module = sglang().module(BACKEND)
    expand_metadata = compiled(module.draft_decode_set_expand_metadata, device)
    module.draft_decode_set_expand_metadata = expand_metadata
    columns = torch.arange(0, pool.pages * pool.page, pool.page, device=device)
    prefix = module.FlashAttentionMetadata(
        cache_seqlens_int32=own["cache_seqlens"][:n], page_table=own["page_table"][:n]
    )
    runs: list[Any] = []
    for step in range(steps - 1):
        lengths = own.get(f"expand_cache_seqlens_{step}")
        expand = module.FlashAttentionMetadata(
            cache_seqlens_int32=None if lengths is None else lengths.view(-1)[: n * topk],
            page_table=own[f"expand_page_table_{step}"].view(-1, step + 1 + (pool.page > 1))[
                : n * topk
            ],
        )
        run = backend(
            batch,
            given,
            draft_decode_metadata_topk_normal={n: prefix},
            draft_decode_metadata_topk_expand={n: expand},
            decode_cuda_graph_metadata={"strided_indices": columns},
            speculative_step_id=step,
        )
        run.topk, run.speculative_num_steps = topk, steps
        runs.append(run)
    seq_lens_cpu = torch.from_numpy(np.asarray(batch.inputs["seq_lens"]))
    rows = (given["req_pool_indices"], given["seq_lens"])
    spec, forward = named(), mode("decode_or_idle")
    cpu_and_loc = (seq_lens_cpu, given["out_cache_loc"].view(-1))

    def call() -> None:
        for run in runs:
            run._apply_cuda_graph_metadata(None, n, *rows, None, forward, spec, *cpu_and_loc)

    def read() -> Mapping[str, Any]:
        whole = given["seq_lens"] // pool.page * pool.page
        # it copies as many pages of every row as the longest has
        return {**own, "page_table": (own["page_table"][:n], columns < whole[:, None])}

    return Theirs(call, read)


def declare_drafts(pool: Pool, extra: Mapping[str, Any]) -> Plan:
    return sglang_fa3_tree_drafts(pool=pool, topk=extra["topk"], steps=extra["steps"])


def declare(pool: Pool, extra: Mapping[str, Any]) -> Plan:
    return sglang_fa3_tree(pool=pool, drafts=extra["drafts"], joined=extra["joined"])


def tree(query: int, joined: bool = False) -> dict[str, Any]:
    return dict(drafts=query, ahead=(query,), joined=joined)


CASES = (
    Case(
        name="SGLang FA3 verify of a tree",
        plan="sglang_fa3_tree",
        replaces=TREE,
        theirs=theirs,
        declare=declare,
        extra=tree(3),
        served=tree,
        add=masks,
        low=1,
        idle=False,
        rooms=dict(mask="custom_mask"),
        every=2,
    ),
    Case(
        name="SGLang FA3 verify of a tree, sliding window",
        plan="sglang_fa3_tree_window",
        replaces=(
            *TREE,
            f"{BACKEND}:FlashAttentionBackend._init_sliding_window_attn_spec_metadata",
            "kernels/ops/attention/metadata.py:prepare_swa_spec_page_table_triton",
        ),
        theirs=theirs,
        declare=declare,
        pool=dict(page=1, moved=True),
        extra=tree(3, joined=True),
        served=lambda query: tree(query, joined=True),
        add=masks,
        low=1,
        idle=False,
        rooms=dict(mask="custom_mask"),
        every=2,
    ),
    Case(
        name="SGLang FA3 draft steps of a tree",
        plan="sglang_fa3_tree_drafts",
        replaces=DRAFTS,
        theirs=drafts,
        declare=declare_drafts,
        extra=dict(topk=2, steps=4),
        served=lambda query: dict(topk=4, steps=max(query, 2)),
        add=branches,
        low=1,
        idle=False,
        every=2,
    ),
    Case(
        name="SGLang FA3 draft steps of a tree, page 1",
        plan="sglang_fa3_tree_drafts",
        replaces=DRAFTS[:1],
        theirs=drafts,
        declare=declare_drafts,
        pool=dict(page=1),
        extra=dict(topk=2, steps=4),
        served=lambda query: dict(topk=4, steps=max(query, 2)),
        add=branches,
        low=1,
        idle=False,
    ),
)
PEERS = tuple(case.peer() for case in CASES)
