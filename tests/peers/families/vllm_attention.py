# pyright: basic
"""From request tables to FlashAttention's and Triton's metadata: vLLM's runner and builders beside one launch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from metaplan.plans.engine_step import Interleave
from metaplan.plans.vllm_attention import Cache, vllm_flash_attention, vllm_triton_attention
from tests.peers.batches import Array, table
from tests.peers.engines import vllm
from tests.peers.peer import Batch, Peer, Setup, Tensors, Theirs
from tests.peers.vllm_parts import SERVED, decodes, fences, mixed, served_step
from tests.peers.vllm_runner import (
    BATCH,
    CONTEXT,
    CP,
    GROUPS,
    NOT_PARALLEL,
    PAGE,
    PARTS,
    SHARED,
    TABLES,
    Runner,
)

REQ, QUERY, PROMPT, MOST, SPANS, STATES = 6, 4, 24, 192, 3, 12
UTILS = "v1/attention/backends/utils.py"
FLASH = "v1/attention/backends/flash_attn.py"
TRITON = "v1/attention/backends/triton_attn.py"


def cache(longest: int, most: int, states: int, parts: int = 0) -> Cache:
    kernel_page = PAGE // parts if parts else 0
    return Cache(PAGE, kernel_page, longest, most, states=states)


def columns(longest: int, interleave: Interleave) -> int:
    return -(-longest // (PAGE * interleave.size))


def step(
    rng: np.random.Generator,
    query: Array,
    seq_lens: Array,
    padded: int,
    label: str = "",
    longest: int = MOST,
    states: int = STATES,
    interleave: Interleave = NOT_PARALLEL,
) -> tuple[Batch, dict[str, Any]]:
    """A batch, and the inputs of which a plan takes some: what each request's prompt is."""
    n, width = len(query), columns(longest, interleave)
    rows = rng.permutation(states)[:n].astype(np.int64)
    pages = -(-longest // (PAGE * interleave.size))
    computed, blocks = (rng.integers(0, most + 1, states) for most in (longest, pages))
    computed[rows] = seq_lens - query
    blocks[rows] = -(-seq_lens // (PAGE * interleave.size))
    inputs = dict(
        idx_mapping=rows,
        query_start_loc=fences(query, max(padded, REQ)),
        num_computed_tokens=computed.astype(np.int32),
        block_table=table(rng, states, width),
        num_blocks=blocks.astype(np.int32),
    )
    spans = rng.integers(0, longest, (states, SPANS, 2)).astype(np.int32)
    spans = np.sort(spans.reshape(states, -1), axis=1).reshape(spans.shape)
    ends = seq_lens[: n // 2, None, None] + [[-2, -2], [-1, -1], [0, 9]]
    spans[rows[: n // 2]] = np.clip(ends, 0, longest)  # one token is no span
    prompts = dict(
        num_mm_spans=rng.integers(0, SPANS + 1, states).astype(np.int32),
        mm_spans=spans,
        prompt_len=rng.integers(1, longest + 1, states).astype(np.int32),
    )
    tokens = int(query.sum()) + padded - n
    extra = dict(seq_lens=seq_lens, padded_tokens=tokens)
    return Batch(inputs, {"req": n, "padded": padded}, label, extra), prompts


def with_inputs(batch: Batch, **more: Any) -> Batch:
    return Batch({**batch.inputs, **more}, batch.live, batch.label, batch.extra)


def steps(rng: np.random.Generator) -> Iterator[tuple[str, Array, Array]]:
    yield from decodes(rng, REQ, QUERY, PAGE, MOST)
    yield from mixed(rng, REQ, 1, PROMPT, MOST)


def ranks(rng: np.random.Generator) -> Iterator[Batch]:
    """Steps in graphs of their own size, and of more rows."""
    for label, query, seq_lens in steps(rng):
        padded = int(rng.integers(len(query), REQ + 1))
        batch, _ = step(rng, query, seq_lens, padded, label, interleave=CP)
        yield with_inputs(batch, padded_tokens=batch.extra["padded_tokens"])


def prompts(rng: np.random.Generator) -> Iterator[Batch]:
    for label, query, seq_lens in steps(rng):
        for padded in {len(query), REQ}:
            batch, prompt = step(rng, query, seq_lens, padded, label)
            yield with_inputs(batch, **prompt)
    batch, prompt = step(rng, query, seq_lens, len(query), "no spans")
    prompt["num_mm_spans"] *= 0
    yield with_inputs(batch, **prompt)


def bench_ranks(requests: int, query: int) -> tuple[Setup, Batch]:
    rng, query_len, seq_lens = served_step(requests, query)
    batch, _ = step(rng, query_len, seq_lens, requests, "", SERVED, requests, CP)
    sizes = {"req": requests, "padded": requests, "state": requests}
    width = {"page": columns(SERVED, CP), "kernel_block": columns(SERVED, CP) * PARTS}
    declared = cache(SERVED, query, requests, PARTS)
    setup = Setup(lambda: vllm_flash_attention(declared, interleave=CP), {**sizes, **width})
    return setup, with_inputs(batch, padded_tokens=requests * query)


def bench_prompts(plan: Any, requests: int, query: int) -> tuple[Setup, Batch]:
    rng, query_len, seq_lens = served_step(requests, query)
    batch, prompt = step(rng, query_len, seq_lens, requests, "", SERVED, requests)
    sizes = {"req": requests, "padded": requests, "state": requests}
    width = {"page": columns(SERVED, NOT_PARALLEL)}
    declared = cache(SERVED, query, requests)
    setup = Setup(lambda: plan(declared, spans=SPANS, prefixes=True), {**sizes, **width})
    return setup, with_inputs(batch, **prompt)


def flash_builder(out: Mapping[str, torch.Tensor], interleave: Interleave, spans: bool) -> Any:
    builder = object.__new__(vllm().module(FLASH).FlashAttentionMetadataBuilder)
    builder.__dict__.update(
        aot_schedule=False,
        aot_sliding_window=(-1, -1),
        use_full_cuda_graph=False,
        dcp_world_size=interleave.size,
        dcp_rank=interleave.rank,
        cp_kv_cache_interleave_size=interleave.run,
        _dcp_context_kv_lens=out.get("dcp_context_kv_lens"),
        rswa_window=None,
        mm_prefix_query_ranges_np=None,
    )
    if spans:
        gpu = out["mm_prefix_query_range"]
        host = torch.zeros(gpu.shape, dtype=gpu.dtype, pin_memory=gpu.is_cuda)
        builder.__dict__.update(
            rswa_window=8,
            persistent_rswa_prefix_lens=out["rswa_prefix_lens"],
            persistent_rswa_window_tensor=(),
            mm_prefix_query_ranges_cpu=host,
            mm_prefix_query_ranges_np=host.numpy(),
            mm_prefix_query_ranges_gpu=gpu,
        )
    return builder


def theirs_ranks(
    batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
) -> Theirs:
    contexts = {"dcp_context_kv_lens": before["dcp_context_kv_lens"].clone()}
    run = Runner(batch, given, before, device, flash_builder(contexts, CP, False), CP)
    n, padded, width = run.n, run.padded, before["input_block_table"].shape[1]
    blocks = np.asarray(batch.inputs["num_blocks"])[batch.inputs["idx_mapping"]]
    known = np.concatenate([blocks, np.full(len(run.out["seq_lens"]) - n, width)])
    # Beyond its blocks a row is what it was; the engine remaps that too.
    mapped = np.arange(width * PARTS) < known[:, None] * PARTS

    def read() -> Mapping[str, Any]:
        names = ("positions", "seq_lens", "slot_mapping", "input_block_table", "dcp_local_seq_lens")
        counts = ("num_decode_reqs", "num_prefill_reqs", "num_decode_tokens", "num_prefill_tokens")
        found = {name: np.asarray([int(getattr(run.metadata, name))]) for name in counts}
        kernel_table = (run.out["kernel_block_table"][:padded], mapped[:padded])
        return (
            {name: run.out[name] for name in names}
            | found
            | contexts
            | dict(kernel_block_table=kernel_table)
        )

    return Theirs(run, read)


def theirs_prompts(
    batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
) -> Theirs:
    own = {n: before[n].clone() for n in ("mm_prefix_query_range", "rswa_prefix_lens")}
    run = Runner(batch, given, before, device, flash_builder(own, NOT_PARALLEL, True))

    def read() -> Mapping[str, Any]:
        names = ("positions", "seq_lens", "slot_mapping", "input_block_table")
        found = {name: run.out[name] for name in names}
        ranges = run.metadata.mm_prefix_query_range_tensor
        if ranges is not None:
            found["mm_prefix_query_range"] = own["mm_prefix_query_range"]
        if run.metadata.rswa_prefix_lens is not None:
            found["rswa_prefix_lens"] = own["rswa_prefix_lens"]
        return found

    return Theirs(run, read, captured=False)


def theirs_triton(
    batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
) -> Theirs:
    lengths = before["rswa_prefix_lens"].clone()
    builder = object.__new__(vllm().module(TRITON).TritonAttentionMetadataBuilder)
    scratch = ("seq_threshold_3D", "num_par_softmax_segments", "softmax_segm_output")
    builder.__dict__.update(
        **dict.fromkeys((*scratch, "softmax_segm_max", "softmax_segm_expsum")),
        device=torch.device(device),
        max_seqs_64_segments=0,
        rswa_window=8,
        persistent_rswa_prefix_lens=lengths,
    )
    run = Runner(batch, given, before, device, builder)

    def read() -> Mapping[str, Any]:
        names = ("positions", "seq_lens", "slot_mapping", "input_block_table")
        found = {name: run.out[name] for name in names}
        if run.metadata.rswa_prefix_lens is not None:
            found["rswa_prefix_lens"] = lengths
        ranges = run.metadata.mm_prefix_range_tensor
        return found if ranges is None else found | dict(mm_prefix_range=ranges)

    return Theirs(run, read, captured=False)


STEP = (
    f"{BATCH}:prepare_pos_seq_lens",
    f"{TABLES}:BlockTables.gather_block_tables",
    f"{TABLES}:BlockTables.compute_slot_mappings",
    f"{SHARED}:build_attn_metadata",
)
SIZES = {"req": REQ, "padded": REQ, "state": STATES}
PEERS = (
    Peer(
        name="vLLM FlashAttention step under context parallelism",
        engine="vllm",
        plan="vllm_flash_attention",
        replaces=(
            *STEP,
            f"{CONTEXT}:prepare_dcp_local_seq_lens",
            f"{GROUPS}:AttentionGroup.map_to_kernel_block_table",
            f"{FLASH}:FlashAttentionMetadataBuilder.build",
            f"{UTILS}:get_dcp_local_seq_lens",
            "v1/worker/cp_utils.py:split_dcp_context_queries",
        ),
        setup=Setup(
            lambda: vllm_flash_attention(cache(MOST, PROMPT, STATES, PARTS), interleave=CP),
            {**SIZES, "page": columns(MOST, CP), "kernel_block": columns(MOST, CP) * PARTS},
        ),
        batches=ranks,
        theirs=theirs_ranks,
        bench=bench_ranks,
    ),
    Peer(
        name="vLLM FlashAttention step with image spans",
        engine="vllm",
        plan="vllm_flash_attention",
        replaces=(
            *STEP,
            f"{FLASH}:FlashAttentionMetadataBuilder.build",
            f"{UTILS}:fill_mm_prefix_query_ranges",
        ),
        setup=Setup(
            lambda: vllm_flash_attention(cache(MOST, PROMPT, STATES), spans=SPANS, prefixes=True),
            {**SIZES, "page": columns(MOST, NOT_PARALLEL)},
        ),
        batches=prompts,
        theirs=theirs_prompts,
        bench=lambda requests, query: bench_prompts(vllm_flash_attention, requests, query),
    ),
    Peer(
        name="vLLM Triton attention step with image spans",
        engine="vllm",
        plan="vllm_triton_attention",
        replaces=(
            *STEP,
            f"{TRITON}:TritonAttentionMetadataBuilder.build",
            f"{UTILS}:compute_mm_prefix_range_tensor",
        ),
        setup=Setup(
            lambda: vllm_triton_attention(cache(MOST, PROMPT, STATES), spans=SPANS, prefixes=True),
            {**SIZES, "page": columns(MOST, NOT_PARALLEL)},
        ),
        batches=prompts,
        theirs=theirs_triton,
        bench=lambda requests, query: bench_prompts(vllm_triton_attention, requests, query),
    ),
)
