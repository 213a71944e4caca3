# pyright: basic
"""FlashAttention's metadata: what SGLang's backend does before a replay, beside one launch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from metaplan.lang.plan import Plan
from metaplan.plans.sglang_fa3 import sglang_fa3, sglang_fa3_extend
from metaplan.plans.sglang_pool import Pool
from tests.peers.peer import Batch, Tensors, Theirs
from tests.peers.sglang_fa3_parts import BACKEND, LOCAL, backend, local_builder, record
from tests.peers.sglang_parts import named
from tests.peers.sglang_steps import Case, buffers, mode, upto

METADATA = "kernels/ops/attention/metadata.py"
REPLAY = f"{BACKEND}:FlashAttentionBackend._apply_cuda_graph_metadata"
DECODE = (
    REPLAY,
    f"{BACKEND}:FlashAttentionBackend._set_decode_page_metadata",
    f"{METADATA}:normal_decode_set_metadata",
)


def new_tokens(
    rng: np.random.Generator, inputs: Any, pool: Pool, extra: Any, at: int
) -> dict[str, Any]:
    """New tokens of a draft extend, none of them accepted and all of them among the batches."""
    n, query = len(inputs["seq_lens"]), extra["query"]
    some = (rng.integers(0, query + 1, n), np.zeros(n, np.int64), np.full(n, query))
    found: dict[str, Any] = dict(extend_lens=some[at % 3])
    if pool.moved:
        found["out_cache_loc"] = rng.integers(0, pool.slots, (n, query))
    return found


def replay(batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str) -> Theirs:
    """What the engine does before a graph of a decode, a verify or all draft steps is replayed."""
    n, own, kind = batch.live["req"], buffers(before), batch.extra["mode"]
    local = batch.extra.get("chunk") and local_builder(batch, device)
    runs: list[Any] = []
    for at, more in enumerate(batch.extra["ahead"]):
        step = f"_{at}" if len(batch.extra["ahead"]) > 1 else ""
        name = "target_verify_metadata" if kind == "verify" else "decode_cuda_graph_metadata"
        fields: dict[str, Any] = {name: {n: record(batch, own, step)}}
        if local:
            fields["local_attn_builder"] = local
            fields["decode_cuda_graph_local_attn_metadata"] = own
        runs.append(backend(batch, given, speculative_step_id=more - 1, **fields))
    forward = mode("target_verify" if kind == "verify" else "decode_or_idle")
    spec = None if kind == "decode" else named(ragged_verify_layout=None)

    def call() -> None:
        for run in runs:
            run._apply_cuda_graph_metadata(
                None, n, given["req_pool_indices"], given["seq_lens"], None, forward, spec, None
            )

    def read() -> Mapping[str, Any]:
        found = upto(batch, own)
        if local:  # behind the sums the engine has zeros, and stale pages behind those of a row
            found["local_query_start_loc"] = own["local_query_start_loc"][: n + 1]
            width = own["local_block_table"].shape[1]
            page = torch.arange(width, device=device) * batch.extra["pool"].page
            written = page < own["local_seqused_k"][:, None]
            written[n:] = True
            found["local_block_table"] = (own["local_block_table"], written)
        return found

    return Theirs(call, read, captured=not local)


def in_graph(
    batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
) -> Theirs:
    """The kernels that the engine records into its graph: unified verify and draft extend."""
    n, own, verifies = batch.live["req"], buffers(before), batch.extra["mode"] == "verify"
    name = "target_verify_metadata" if verifies else "draft_extend_metadata"
    run = backend(batch, given, **{name: {n: record(batch, own)}})
    out_cache_loc = given.get("out_cache_loc")
    forward = named(
        batch_size=n,
        forward_mode=mode("target_verify" if verifies else "draft_extend_v2"),
        encoder_lens=None,
        spec_info=None,
        req_pool_indices=given["req_pool_indices"],
        seq_lens=given["seq_lens"],
        extend_seq_lens=given.get("extend_lens"),
        out_cache_loc=None if out_cache_loc is None else out_cache_loc.view(-1),
    )
    return Theirs(lambda: run.init_forward_metadata_in_graph(forward), lambda: upto(batch, own))


def extend_replay(
    batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
) -> Theirs:
    """A draft extend where its metadata is not recorded: torch alone."""
    n, own, pool = batch.live["req"], buffers(before), batch.extra["pool"]
    own.pop("swa_out_cache_loc", None)  # translated elsewhere on this way
    pages = torch.arange(0, pool.pages * pool.page, pool.page, device=device)
    tables = {n: record(batch, own), "strided_indices": pages}
    run = backend(batch, given, draft_extend_metadata=tables)
    seq_lens_cpu = torch.from_numpy(np.asarray(batch.inputs["seq_lens"]))
    spec = named(
        extend_seq_lens_tensor=given["extend_lens"], num_tokens_per_req=batch.extra["query"]
    )
    rows = (given["req_pool_indices"], given["seq_lens"])

    def call() -> None:
        run._apply_cuda_graph_metadata(
            None, n, *rows, None, mode("draft_extend_v2"), spec, seq_lens_cpu
        )

    def read() -> Mapping[str, Any]:
        found = upto(batch, own)
        live = pages < given["seq_lens"][:, None]
        for table in ("page_table", "swa_page_table"):
            if table in own:  # it copies as many pages of every row as the longest has
                found[table] = (own[table][:n], live)
        return found

    return Theirs(call, read)


def decode(pool: Pool, extra: Mapping[str, Any]) -> Plan:
    return sglang_fa3(pool=pool, ahead=extra["ahead"], chunk=extra.get("chunk", 0))


def extend(pool: Pool, extra: Mapping[str, Any]) -> Plan:
    return sglang_fa3_extend(pool=pool, most=extra["query"])


def verified(query: int) -> dict[str, Any]:
    return dict(mode="verify", ahead=(query,))


def drafted(query: int) -> dict[str, Any]:
    return dict(mode="draft", ahead=tuple(range(1, max(query, 2))))


CASES = (
    Case(
        name="SGLang FA3 decode, page 1",
        plan="sglang_fa3",
        replaces=DECODE,
        theirs=replay,
        declare=decode,
        pool=dict(page=1),
        extra=dict(mode="decode", ahead=(0,)),
    ),
    Case(
        name="SGLang FA3 decode",
        plan="sglang_fa3",
        replaces=DECODE,
        theirs=replay,
        declare=decode,
        pool=dict(moved=True),
        extra=dict(mode="decode", ahead=(0,)),
    ),
    Case(
        name="SGLang FA3 draft steps",
        plan="sglang_fa3",
        replaces=DECODE,
        theirs=replay,
        declare=decode,
        extra=drafted(4),
        served=drafted,
    ),
    Case(
        name="SGLang FA3 verify",
        plan="sglang_fa3",
        replaces=DECODE,
        theirs=replay,
        declare=decode,
        pool=dict(moved=True),
        extra=verified(5),
        served=verified,
    ),
    Case(
        name="SGLang FA4 verify in a unified pool",
        plan="sglang_fa3",
        replaces=(
            f"{BACKEND}:FlashAttentionBackend.init_forward_metadata_in_graph",
            DECODE[-1],
        ),
        theirs=in_graph,
        declare=decode,
        pool=dict(moved=True, unified=True),
        extra=verified(5),
        served=verified,
    ),
    Case(
        name="SGLang FA3 decode with local attention",
        plan="sglang_fa3_chunked",
        replaces=(
            *DECODE,
            f"{LOCAL}:LocalAttentionMetadataBuilder.update_for_replay",
            f"{LOCAL}:make_local_attention_virtual_batches",
        ),
        theirs=replay,
        declare=decode,
        pool=dict(moved=True),
        extra=dict(mode="decode", ahead=(0,), chunk=32),
        served=lambda _: dict(mode="decode", ahead=(0,), chunk=8192),
        low=1,
        idle=False,
    ),
    Case(
        name="SGLang FA3 draft extend",
        plan="sglang_fa3_extend",
        replaces=(
            f"{BACKEND}:FlashAttentionBackend.init_forward_metadata_in_graph",
            f"{METADATA}:draft_extend_set_metadata",
        ),
        theirs=in_graph,
        declare=extend,
        pool=dict(moved=True),
        extra=dict(mode="extend", query=5),
        served=lambda query: dict(mode="extend", query=query),
        add=new_tokens,
        idle=False,
    ),
    Case(
        name="SGLang FA3 draft extend, not fused",
        plan="sglang_fa3_extend",
        replaces=(REPLAY,),
        theirs=extend_replay,
        declare=extend,
        pool=dict(moved=True),
        extra=dict(mode="extend", query=5),
        served=lambda query: dict(mode="extend", query=query),
        add=new_tokens,
        idle=False,
    ),
)
PEERS = tuple(case.peer() for case in CASES)
