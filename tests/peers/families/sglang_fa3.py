# pyright: basic
"""FlashAttention's metadata: what SGLang's backend does before a replay, beside one launch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from metaplan.plans.sglang_fa3 import sglang_fa3, sglang_fa3_extend
from metaplan.plans.sglang_pool import Pool
from tests.peers.peer import Batch, Tensors, Theirs
from tests.peers.sglang_fa3_parts import (
    BACKEND,
    LOCAL,
    backend,
    buffers,
    large,
    local_builder,
    mode,
    peer,
    record,
    small,
    upto,
)
from tests.peers.sglang_parts import named

DRAFTS, CHUNK, SERVED_CHUNK = 5, 32, 8192
METADATA = "kernels/ops/attention/metadata.py"
REPLAY = f"{BACKEND}:FlashAttentionBackend._apply_cuda_graph_metadata"
DECODE = (
    REPLAY,
    f"{BACKEND}:FlashAttentionBackend._set_decode_page_metadata",
    f"{METADATA}:normal_decode_set_metadata",
)


def with_extend_lens(batches: Any) -> Any:
    def extended(rng: np.random.Generator) -> Iterator[Batch]:
        for at, batch in enumerate(batches(rng)):
            n, pool = batch.live["req"], batch.extra["pool"]
            new = (rng.integers(0, DRAFTS + 1, n), np.zeros(n, np.int64), np.full(n, DRAFTS))
            more = dict(extend_lens=new[at % 3])
            if pool.moved:
                more["out_cache_loc"] = rng.integers(0, pool.slots, (n, DRAFTS))
            yield Batch({**batch.inputs, **more}, batch.live, batch.label, batch.extra)

    return extended


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
    spec = named(extend_seq_lens_tensor=given["extend_lens"], num_tokens_per_req=DRAFTS)
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


def draft_tokens(pool: Pool) -> Any:
    rng = np.random.default_rng(1)

    def made_for(count: int) -> dict[str, Any]:
        found: dict[str, Any] = dict(extend_lens=np.full(count, DRAFTS, np.int64))
        if pool.moved:
            found["out_cache_loc"] = rng.integers(0, pool.slots, (count, DRAFTS))
        return found

    return made_for


def decode(pool: Pool, extra: Mapping[str, Any]) -> Any:
    return sglang_fa3(pool=pool, ahead=extra["ahead"], chunk=extra.get("chunk", 0))


def extend(pool: Pool, extra: Mapping[str, Any]) -> Any:
    return sglang_fa3_extend(pool=pool, most=DRAFTS)


VERIFY: Any = dict(mode="verify", ahead=(DRAFTS,))
PEERS = (
    peer(
        "SGLang FA3 decode, page 1",
        "sglang_fa3",
        DECODE,
        replay,
        declare=decode,
        small=small(1),
        large=large(1),
        extra=dict(mode="decode", ahead=(0,)),
    ),
    peer(
        "SGLang FA3 decode",
        "sglang_fa3",
        DECODE,
        replay,
        declare=decode,
        small=small(moved=True),
        large=large(moved=True),
        extra=dict(mode="decode", ahead=(0,)),
    ),
    peer(
        "SGLang FA3 draft steps",
        "sglang_fa3",
        DECODE,
        replay,
        declare=decode,
        small=small(),
        large=large(),
        extra=dict(mode="draft", ahead=(1, 2, 3)),
    ),
    peer(
        "SGLang FA3 verify",
        "sglang_fa3",
        DECODE,
        replay,
        declare=decode,
        small=small(moved=True),
        large=large(moved=True),
        extra=VERIFY,
    ),
    peer(
        "SGLang FA4 verify in a unified pool",
        "sglang_fa3",
        (f"{BACKEND}:FlashAttentionBackend.init_forward_metadata_in_graph", DECODE[-1]),
        in_graph,
        declare=decode,
        small=small(moved=True, unified=True),
        large=large(moved=True, unified=True),
        extra=VERIFY,
    ),
    peer(
        "SGLang FA3 decode with local attention",
        "sglang_fa3_chunked",
        (
            *DECODE,
            f"{LOCAL}:LocalAttentionMetadataBuilder.update_for_replay",
            f"{LOCAL}:make_local_attention_virtual_batches",
        ),
        replay,
        declare=decode,
        small=small(moved=True),
        large=large(moved=True),
        low=1,
        idle=False,
        extra=dict(mode="decode", ahead=(0,), chunk=CHUNK),
        served=dict(chunk=SERVED_CHUNK),
    ),
    peer(
        "SGLang FA3 draft extend",
        "sglang_fa3_extend",
        (
            f"{BACKEND}:FlashAttentionBackend.init_forward_metadata_in_graph",
            f"{METADATA}:draft_extend_set_metadata",
        ),
        in_graph,
        declare=extend,
        small=small(moved=True),
        large=large(moved=True),
        extra=dict(mode="extend"),
        batches=with_extend_lens,
        idle=False,
        more=draft_tokens(large(moved=True)),
    ),
    peer(
        "SGLang FA3 draft extend, not fused",
        "sglang_fa3_extend",
        (REPLAY,),
        extend_replay,
        declare=extend,
        small=small(moved=True),
        large=large(moved=True),
        extra=dict(mode="extend"),
        batches=with_extend_lens,
        idle=False,
        more=draft_tokens(large(moved=True)),
    ),
)
