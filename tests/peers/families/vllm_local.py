# pyright: basic
"""Chunked and windowed layers: vLLM's virtual batches and its ROCm builder beside one launch each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from metaplan.lang.plan import Plan
from metaplan.plans.vllm_local import vllm_local_attention, vllm_window_attention
from tests.peers.batches import table
from tests.peers.engines import vllm
from tests.peers.peer import Batch, Peer, Setup, Tensors, Theirs
from tests.peers.vllm_parts import (
    SERVED,
    common,
    decodes,
    fences,
    mixed,
    padded,
    pageable,
    served_step,
)

PAGE, REQ, WIDTH, QUERY, CHUNK = 16, 6, 12, 4, 32
MOST = PAGE * WIDTH
WINDOW = 40
SERVED_CHUNK, SERVED_WINDOW = 8192, 4096
UTILS = "v1/attention/backends/utils.py"
LOCAL = "model_executor/layers/attention/chunked_local_attention.py"
AITER = "v1/attention/backends/rocm_aiter_fa.py"


def local(chunk: int, width: int) -> Plan:
    longest = width * PAGE
    return vllm_local_attention(chunk=chunk, page=PAGE, max_model_len=longest, max_query=MOST)


def window(size: int, width: int) -> Plan:
    longest = width * PAGE
    return vllm_window_attention(
        window=size, sharing=True, page=PAGE, max_model_len=longest, max_query=MOST
    )


def step(
    rng: np.random.Generator,
    query: Any,
    seq_lens: Any,
    label: str,
    width: int = WIDTH,
    **extra: int,
) -> Batch:
    n = len(query)
    inputs = dict(
        query_start_loc=fences(query, max(n, REQ)),
        seq_lens=seq_lens,
        block_table=table(rng, n, width),
    )
    return Batch(inputs, {"req": n}, label, extra)


def chunks_everywhere(rng: np.random.Generator) -> Iterator[Batch]:
    """Around the borders of chunks too: prompts that begin, end or both at one."""
    for label, query, lengths in decodes(rng, REQ, QUERY, PAGE, MOST):
        yield step(rng, query, lengths, label)
    for label, query, lengths in mixed(rng, REQ, 1, 3 * CHUNK, MOST):
        yield step(rng, query, lengths, label)
    lengths = np.asarray(
        [CHUNK, 2 * CHUNK, 3 * CHUNK + 1, 4 * CHUNK - 1, MOST, 2 * CHUNK], np.int32
    )
    query = np.asarray([CHUNK, CHUNK, 2 * CHUNK + 1, 3 * CHUNK - 1, MOST, CHUNK + 1], np.int32)
    yield step(rng, query, lengths, "whole chunks")
    yield step(rng, np.ones(REQ, np.int32), lengths, "the last token of a chunk")
    yield step(rng, *padded(lengths), "padding rows")


def windows(rng: np.random.Generator) -> Iterator[Batch]:
    for label, query, lengths in decodes(rng, REQ, 1, PAGE, MOST):
        yield step(rng, query, lengths, label, window=WINDOW)
    short = np.asarray([1, WINDOW - 1, WINDOW, WINDOW + 1, WINDOW + PAGE, MOST], np.int32)
    yield step(rng, np.ones(REQ, np.int32), short, "around the window", window=WINDOW)
    yield step(rng, *padded(short), "padding rows", window=WINDOW)
    query, lengths = (np.asarray(x, np.int32) for x in ((1, 3, 5), (2, 4, 5)))
    yield step(rng, query, lengths, "one token before", window=WINDOW)
    for label, query, lengths in mixed(rng, REQ, 1, 3 * PAGE, MOST):
        yield step(rng, query, lengths, label, window=WINDOW)


def bench_local(requests: int, query: int) -> tuple[Setup, Batch]:
    rng, query_len, seq_lens = served_step(requests, query)
    width = SERVED // PAGE
    sizes = {"req": requests, "virtual": 2 * requests, "page": width}
    batch = step(rng, query_len, seq_lens, "", width)
    return Setup(lambda: local(SERVED_CHUNK, width), sizes), batch


def bench_window(requests: int, query: int) -> tuple[Setup, Batch]:
    rng, _, seq_lens = served_step(requests, query)
    width, query_len = SERVED // PAGE, np.ones(requests, np.int32)
    sizes = {"req": requests, "page": width, "key": 1 << 17}
    batch = step(rng, query_len, seq_lens, "", width, window=SERVED_WINDOW)
    return Setup(lambda: window(SERVED_WINDOW, width), sizes), batch


class _Under:
    """The backend under a chunked layer: it hands on what it is given."""

    @staticmethod
    def get_builder_cls() -> type:
        return _builder()


def _builder() -> type:
    class Handed(vllm().module("v1/attention/backend.py").AttentionMetadataBuilder):
        def __init__(self, page: int) -> None:
            self.kv_cache_spec = SimpleNamespace(block_size=page)

        def build(self, common_prefix_len: int, common_attn_metadata: Any, fast_build: bool) -> Any:
            return common_attn_metadata

    return Handed


def theirs_local(
    batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
) -> Theirs:
    n, pages = batch.live["req"], before["block_table_local"].shape[-1]
    made = vllm().module(LOCAL).create_chunked_local_attention_backend(_Under, pages * PAGE)
    builder = made.get_builder_cls()(PAGE)
    shared = common(batch, given, given["block_table"][:n])
    found: list[Any] = []

    def call() -> None:
        found[:] = [builder.build(0, shared)]

    def read() -> Mapping[str, Any]:
        (local,) = found
        # A chunk without tokens has the pages in front of the row's first.
        real = torch.diff(local.query_start_loc) > 0
        return dict(
            cu_seqlens_q_local=local.query_start_loc,
            seqlens_k_local=local.seq_lens,
            block_table_local=(local.block_table_tensor, real[:, None]),
            num_virtual=np.asarray([local.num_reqs]),
            max_query_len=np.asarray([local.max_query_len]),
            max_seq_len=np.asarray([local.max_seq_len]),
        )

    return Theirs(call, read, captured=False)


def theirs_window(
    batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
) -> Theirs:
    module = vllm().module(AITER)
    trimmed = before["swa_block_table"].clone()
    builder = object.__new__(module.AiterFlashAttentionMetadataBuilder)
    builder.__dict__.update(
        reorder_batch_threshold=1,
        block_size=PAGE,
        device=torch.device(device),
        aot_sliding_window=(batch.extra["window"] - 1, 0),
        k_scale={},
        v_scale={},
        kv_sharing_workspace=(),
        extend_workspace=None,
        num_heads_kv=1,
        headdim=1,
        vllm_config=SimpleNamespace(model_config=SimpleNamespace(dtype=torch.float32)),
        _swa_block_table=trimmed,
        _swa_seq_lens=before["swa_seq_lens"].clone(),
        _swa_block_offsets=torch.arange(trimmed.shape[-1], device=device),
    )
    shared = common(batch, given, given["block_table"][: batch.live["req"]])
    found: list[Any] = []

    def call() -> None:
        with pageable(module):
            found[:] = [builder.build(0, shared)]

    def read() -> Mapping[str, Any]:
        (made,) = found
        results = dict(
            swa_block_table=builder._swa_block_table,
            swa_seq_lens=builder._swa_seq_lens,
            num_extends=np.asarray([made.num_extends]),
            num_prefills=np.asarray([made.num_prefills]),
        )
        if made.prefill_metadata is not None:
            results["prefill_query_start_loc"] = made.prefill_metadata.query_start_loc
        if made.kv_sharing_metadata is not None:
            shared = made.kv_sharing_metadata
            starts = shared.query_start_loc.clone()
            results |= dict(
                later_query_start_loc=starts,
                later_token_to_batch=shared.token_to_batch,
                later_seq_starts=shared.seq_starts,
            )
        if made.extend_metadata is not None:
            lists = made.extend_metadata.chunk_context_metadata.swa_metadata
            starts[: made.num_extends + 1] = made.extend_metadata.query_start_loc
            results |= dict(
                swa_cu_seqlens=lists.swa_cu_seqlens,
                swa_seq_starts=lists.swa_seq_starts,
                swa_token_to_batch=lists.swa_token_to_batch,
            )
        return results

    return Theirs(call, read, captured=False)


PEERS = (
    Peer(
        name="vLLM chunked local attention",
        engine="vllm",
        plan="vllm_local_attention",
        replaces=(
            f"{LOCAL}:ChunkedLocalAttentionBuilder.build",
            f"{UTILS}:make_local_attention_virtual_batches",
        ),
        setup=Setup(lambda: local(CHUNK, WIDTH), {"req": REQ, "page": WIDTH}),
        batches=chunks_everywhere,
        theirs=theirs_local,
        bench=bench_local,
    ),
    Peer(
        name="vLLM sliding-window tables and lists",
        engine="vllm",
        plan="vllm_window_attention",
        replaces=(
            f"{AITER}:AiterFlashAttentionMetadataBuilder.build",
            f"{AITER}:AiterFlashAttentionMetadataBuilder._build_swa_decode_tables",
            f"{UTILS}:split_decodes_prefills_and_extends",
        ),
        setup=Setup(lambda: window(WINDOW, WIDTH), {"req": REQ, "page": WIDTH}),
        batches=windows,
        theirs=theirs_window,
        bench=bench_window,
    ),
)
