# pyright: basic
"""AITER's page tables and page lists: what SGLang's backend does, beside one launch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from metaplan.lang.plan import Plan
from metaplan.plans.sglang_aiter import sglang_aiter, sglang_aiter_pages
from metaplan.plans.sglang_pool import Pool
from tests.peers.engines import sglang
from tests.peers.peer import Batch, Tensors, Theirs
from tests.peers.sglang_parts import made, named, translator, window_pool
from tests.peers.sglang_steps import Case

BACKEND = "srt/layers/attention/aiter_backend.py"
UNIFIED = "kernels/ops/attention/aiter_unified_page_table.py"
LIST = "kernels/ops/attention/kv_indices.py:create_flashinfer_kv_indices_triton"


def backend(batch: Batch, given: Tensors, device: str) -> Any:
    pool, moves = batch.extra["pool"], given.get("full_to_swa")
    indptr = torch.zeros(batch.live["req"] + 1, dtype=torch.int32, device=device)
    return made(
        sglang().module(BACKEND).AiterAttnBackend,
        device=device,
        req_to_token=given["req_to_token"],
        page_size=pool.page,
        max_context_len=pool.context,
        qo_indptr=indptr,
        use_sliding_window_kv_pool=moves is not None,
        swa_kv_pool=None if moves is None else window_pool(moves),
    )


def token_list(batch: Batch, given: Tensors, device: str) -> Any:
    """A function that lists the slot of every token, as the engine does first, into the same buffers."""
    n, total = batch.live["req"], int(np.asarray(batch.inputs["seq_lens"]).sum())
    kv_indptr = torch.zeros(n + 1, dtype=torch.int32, device=device)
    kv_indices = torch.zeros(total, dtype=torch.int32, device=device)
    reader = translator(given["req_to_token"])

    def fill() -> tuple[torch.Tensor, torch.Tensor]:
        kv_indptr[1:] = torch.cumsum(given["seq_lens"], dim=0)
        reader.pack_read_stream(
            None,
            req_pool_indices=given["req_pool_indices"],
            seq_lens=given["seq_lens"],
            indptr=kv_indptr,
            out=kv_indices,
        )
        return kv_indptr, kv_indices

    return fill


def tables(batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str) -> Theirs:
    n, run, kind = batch.live["req"], backend(batch, given, device), batch.extra["mode"]
    own = {k: x.clone()[:n] for k, x in before.items() if k.endswith("page_table")}
    fill = token_list(batch, given, device)
    rows = (n, given["seq_lens"], given["req_pool_indices"])
    found: dict[str, Any] = dict(own)

    def call() -> None:
        if kind == "verify":
            _, found["qo_indptr"], _, _ = run._build_verify_unified_metadata(
                *rows, batch.extra["ahead"][0], own["page_table"], own.get("swa_page_table")
            )
        elif kind == "lists":
            kv_indptr, kv_indices = fill()
            run._build_unified_page_table_from_spec(
                named(kv_indptr=kv_indptr, kv_indices=kv_indices),
                n,
                own["page_table"],
                own.get("swa_page_table"),
            )
        else:
            longest = batch.extra["pool"].context
            found["page_table"], found["swa_page_table"] = run._build_extend_unified_page_table(
                *rows, longest
            )

    return Theirs(call, lambda: found)


def pages(batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str) -> Theirs:
    fill, view = token_list(batch, given, device), sglang().module(BACKEND)._build_paged_kv_view
    seq_lens_cpu = torch.from_numpy(np.asarray(batch.inputs["seq_lens"]))
    found: list[torch.Tensor] = []

    def call() -> None:
        found[:] = view(fill()[1], seq_lens_cpu, batch.extra["pool"].page)

    names = ("page_indptr", "page_ids", "last_page_len")
    return Theirs(call, lambda: dict(zip(names, found, strict=True)), captured=False)


def declare(pool: Pool, extra: Mapping[str, Any]) -> Plan:
    verifies = extra["mode"] == "verify"
    drafts = extra["ahead"][0] if verifies else 0
    return sglang_aiter(pool=pool, drafts=drafts, fill=extra["mode"] == "extend")


def verified(query: int) -> dict[str, Any]:
    return dict(mode="verify", ahead=(query,))


CASES = (
    Case(
        name="SGLang AITER verify",
        plan="sglang_aiter",
        replaces=(
            f"{BACKEND}:AiterAttnBackend._build_verify_unified_metadata",
            f"{UNIFIED}:scatter_req_to_token_to_page_table_kernel",
        ),
        theirs=tables,
        declare=declare,
        pool=dict(page=16, moved=True),
        extra=verified(5),
        served=verified,
    ),
    Case(
        name="SGLang AITER extend",
        plan="sglang_aiter",
        replaces=(
            f"{BACKEND}:AiterAttnBackend._build_extend_unified_page_table",
            f"{UNIFIED}:scatter_req_to_token_to_page_table_kernel",
        ),
        theirs=tables,
        declare=declare,
        pool=dict(page=16, moved=True),
        extra=dict(mode="extend"),
    ),
    Case(
        name="SGLang AITER page tables by way of slot lists",
        plan="sglang_aiter",
        replaces=(
            f"{BACKEND}:AiterAttnBackend._build_unified_page_table_from_spec",
            f"{UNIFIED}:scatter_ragged_to_page_table_kernel",
            LIST,
        ),
        theirs=tables,
        declare=declare,
        pool=dict(page=16, moved=True),
        extra=dict(mode="lists"),
    ),
    Case(
        name="SGLang AITER page lists",
        plan="sglang_aiter_pages",
        replaces=(f"{BACKEND}:_build_paged_kv_view", LIST),
        theirs=pages,
        declare=lambda pool, _: sglang_aiter_pages(pool=pool),
        pool=dict(page=16),
    ),
)
PEERS = tuple(case.peer() for case in CASES)
