# pyright: basic
"""Requests of tokens, slots under context parallelism and microbatches: vLLM's functions beside one launch each."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from metaplan.lang.plan import Plan
from metaplan.plans.engine_step import Interleave
from metaplan.plans.vllm_tokens import (
    vllm_context_parallel,
    vllm_microbatches,
    vllm_token_requests,
)
from tests.peers.batches import Array, table
from tests.peers.engines import vllm
from tests.peers.peer import Batch, Peer, Setup, Tensors, Theirs
from tests.peers.vllm_parts import SERVED, common, decodes, fences, mixed, padded, served_step

PAGES, REQ, QUERY, MOST, PROMPT = (16, 64), 6, 4, 448, 24
CP, ROWS = Interleave(size=4, rank=2, run=8), 40
BACKEND, METADATA = "v1/attention/backend.py", "v1/attention/ops/metadata.py"
UTILS, TABLES = "v1/attention/backends/utils.py", "v1/worker/block_table.py"
CONTEXT, SLICES = "v1/worker/gpu/cp_utils.py", "v1/worker/ubatch_utils.py"
GPU_SLICES, GPU_BATCH = "v1/worker/gpu/ubatch_utils.py", "v1/worker/gpu/input_batch.py"


def steps(rng: np.random.Generator) -> Iterator[tuple[str, Array, Array]]:
    """Steps of all kinds, with requests that have no tokens at the end and between others."""
    yield from decodes(rng, REQ, QUERY, PAGES[0], MOST)
    yield from mixed(rng, REQ, QUERY, PROMPT, MOST)
    lengths = rng.integers(QUERY, MOST + 1, REQ).astype(np.int32)
    yield "padding rows", *padded(lengths)
    query = np.asarray([2, 0, 3, 0, 0, 1], np.int32)
    yield "rows without tokens", query, lengths
    yield "the first row without tokens", query[::-1] - query[::-1] % 2, lengths
    yield "no tokens", np.zeros(REQ, np.int32), lengths


def requests_of_tokens(rng: np.random.Generator) -> Iterator[Batch]:
    for label, query, seq_lens in steps(rng):
        total = int(query.sum())
        inputs = dict(
            query_start_loc=fences(query, REQ),
            seq_lens=seq_lens,
            padded_tokens=total + int(rng.integers(0, 9)),
        )
        yield Batch(inputs, {"req": len(query)}, label)


def bench_requests(requests: int, query: int) -> tuple[Setup, Batch]:
    _, query_len, seq_lens = served_step(requests, query)
    inputs = dict(
        query_start_loc=fences(query_len, requests),
        seq_lens=seq_lens,
        padded_tokens=requests * query,
    )
    setup = Setup(lambda: vllm_token_requests(max_query=query), {"req": requests})
    return setup, Batch(inputs, {"req": requests})


def theirs_requests(
    batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
) -> Theirs:
    mapped = before["token_to_req_indices"].clone()
    shared = common(batch, given, None, num_actual_tokens=int(batch.inputs["padded_tokens"]))
    found: list[torch.Tensor] = []

    def call() -> None:
        shared._token_to_req_indices_cache = shared._num_computed_tokens_cache = None
        shared.token_to_req_indices(mapped)
        found[:] = [shared.naive_query_lens(), shared.compute_num_computed_tokens()]

    def read() -> Mapping[str, Any]:
        query_lens, computed = found
        return dict(
            token_to_req_indices=mapped, query_lens=query_lens, num_computed_tokens=computed
        )

    return Theirs(call, read)


def context_parallel(longest: int, most: int) -> Plan:
    return vllm_context_parallel(interleave=CP, pages=PAGES, max_model_len=longest, max_query=most)


def columns(longest: int) -> list[int]:
    return [-(-longest // (page * CP.size)) for page in PAGES]


def shard(rng: np.random.Generator, query: Array, seq_lens: Array, longest: int) -> dict[str, Any]:
    tables = [table(rng, len(query), width) for width in columns(longest)]
    return dict(
        query_start_loc=fences(query, max(len(query), REQ)),
        seq_lens=seq_lens,
        **{f"block_table_{g}": pages for g, pages in enumerate(tables)},
    )


def shards(rng: np.random.Generator) -> Iterator[Batch]:
    for label, query, seq_lens in steps(rng):
        yield Batch(shard(rng, query, seq_lens, MOST), {"req": len(query)}, label)
    # Around the ends of runs and of rounds of runs.
    ends = np.asarray([CP.run - 1, CP.run, CP.run + 1, 31, 32, 33], np.int32)
    query = np.full(REQ, QUERY, np.int32)
    yield Batch(shard(rng, query, ends, MOST), {"req": REQ}, "around a round")


def bench_shards(requests: int, query: int) -> tuple[Setup, Batch]:
    rng, query_len, seq_lens = served_step(requests, query)
    inputs = shard(rng, query_len, seq_lens, SERVED)
    return Setup(lambda: context_parallel(SERVED, query), {"req": requests}), Batch(
        inputs, {"req": requests}
    )


def theirs_shards(
    batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
) -> Theirs:
    n, names = batch.live["req"], [f"slot_mapping_{g}" for g in range(len(PAGES))]
    starts = np.asarray(batch.inputs["query_start_loc"])[: n + 1]
    query, seq_lens = np.diff(starts), np.asarray(batch.inputs["seq_lens"])
    offset = np.arange(starts[-1]) - np.repeat(starts[:-1], query)
    positions = torch.from_numpy(np.repeat(seq_lens - query, query) + offset).long().to(device)
    tables: Any = object.__new__(vllm().module(TABLES).MultiGroupBlockTable)
    tables.block_tables = [
        _table(page, given[f"block_table_{g}"], before[names[g]]) for g, page in enumerate(PAGES)
    ]
    of_ranks = vllm().module(UTILS).get_dcp_local_seq_lens
    own_lengths = vllm().module(CONTEXT).prepare_dcp_local_seq_lens
    own = before["dcp_local_seq_lens"].clone()
    found: list[torch.Tensor] = []

    def call() -> None:
        tables.compute_slot_mapping(n, given["query_start_loc"][: n + 1], positions)
        own_lengths(own, given["seq_lens"], n, CP.size, CP.rank, CP.run)
        found[:] = [of_ranks(given["seq_lens"][:n], CP.size, None, CP.run)]

    def read() -> Mapping[str, Any]:
        slots = [one.slot_mapping.gpu for one in tables.block_tables]
        lengths = dict(dcp_local_seq_lens=own, seq_lens_of_ranks=found[0], positions=positions)
        return lengths | dict(zip(names, slots, strict=True))

    return Theirs(call, read)


def _table(page: int, pages: torch.Tensor, slots: torch.Tensor) -> Any:
    module = vllm().module(TABLES)
    made = object.__new__(module.BlockTable)
    made.__dict__.update(
        slot_mapping_mode=module.SlotMappingMode.TOKEN_TO_KV_SLOT,
        max_num_batched_tokens=len(slots),
        block_table=SimpleNamespace(gpu=pages),
        slot_mapping=SimpleNamespace(gpu=slots.clone()),
        block_size=page,
        dcp_world_size=CP.size,
        dcp_rank=CP.rank,
        cp_kv_cache_interleave_size=CP.run,
    )
    return made


def microbatches(longest: int, requests: int, tokens: int, ubatches: int) -> Plan:
    return vllm_microbatches(
        ubatches=ubatches,
        max_reqs=requests,
        max_model_len=longest,
        max_tokens=tokens,
        interleave=CP,
    )


def cut(
    query: Array, seq_lens: Array, rows: int, padded_reqs: int, padded_tokens: int, ubatches: int
) -> Batch:
    n = len(query)
    lengths = np.zeros(rows, np.int32)
    lengths[:n] = seq_lens
    inputs = dict(
        query_start_loc=fences(query, rows),
        seq_lens=lengths,
        num_reqs=n,
        padded_reqs=padded_reqs,
        padded_tokens=padded_tokens,
    )
    return Batch(inputs, {}, extra=dict(num_scheduled=query, ubatches=ubatches))


def cuts(rng: np.random.Generator, ubatches: int = 3) -> Iterator[Batch]:
    """Padded by nothing, by some, and by so much that a microbatch is all padding."""
    for label, query, seq_lens in steps(rng):
        total = int(query.sum())
        if total < ubatches:
            continue
        for more in (0, 3, total + 2):
            rows = len(query) + 2 * bool(more)
            yield dataclasses.replace(
                cut(query, seq_lens, ROWS, rows, total + more, ubatches),
                label=f"{label}, {more} more",
            )


def plain_cuts(rng: np.random.Generator) -> Iterator[Batch]:
    """Those that the older runner takes: every microbatch has a request's tokens."""
    for batch in cuts(rng, 2):
        inputs = batch.inputs
        half = inputs["padded_tokens"] // 2
        if half < inputs["query_start_loc"][-1] and np.all(batch.extra["num_scheduled"] > 0):
            yield batch


def bench_cuts(requests: int, query: int) -> tuple[Setup, Batch]:
    _, query_len, seq_lens = served_step(max(requests, 2), query)
    n, rows = len(query_len), max(requests, ROWS)
    setup = Setup(lambda: microbatches(SERVED, rows, n * query, 2), {})
    return setup, cut(query_len, seq_lens, rows, n, n * query, 2)


def theirs_cuts(
    batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
) -> Theirs:
    module, inputs = vllm().module(GPU_SLICES), batch.inputs
    whole = vllm().module(GPU_BATCH).InputBatch
    n, rows, tokens = (int(inputs[k]) for k in ("num_reqs", "padded_reqs", "padded_tokens"))
    fields = {f.name: None for f in dataclasses.fields(whole)}
    nothing = np.zeros(len(inputs["seq_lens"]), np.int32)
    nowhere = torch.zeros(tokens, device=device)
    known = dict(
        req_ids=list(range(n)),
        num_reqs=n,
        num_reqs_after_padding=rows,
        num_scheduled_tokens=batch.extra["num_scheduled"],
        num_tokens=int(inputs["query_start_loc"][-1]),
        num_tokens_after_padding=tokens,
        query_start_loc=given["query_start_loc"],
        query_start_loc_np=np.asarray(inputs["query_start_loc"]),
        seq_lens=given["seq_lens"],
        seq_lens_cpu_upper_bound=torch.from_numpy(np.array(inputs["seq_lens"])),
        idx_mapping=given["seq_lens"],
        **dict.fromkeys(("input_ids", "positions", "is_padding"), nowhere),
        **{
            name: nothing
            for name in fields
            if name.endswith("_np") and name != "query_start_loc_np"
        },
    )
    step = whole(**(fields | known))
    names = ("query_start_loc_of", "seq_lens_of", "dcp_local_seq_lens_of")
    buffers = {name: before[name].clone() for name in names}
    found: list[Any] = []

    def call() -> None:
        found[:] = module.create_ubatch_slices(step, batch.extra["ubatches"])
        for u, part in enumerate(found):
            module._slice_input_batch(
                step,
                part,
                *[buffers[name][u] for name in names],
                dcp_size=CP.size,
                dcp_rank=CP.rank,
                cp_interleave=CP.run,
            )

    return Theirs(call, lambda: buffers | slices(found))


def slices(parts: list[Any]) -> dict[str, Any]:
    pairs = [(p.request_slice, p.token_slice) for p in parts]
    return dict(
        request_slice=np.asarray([[r.start, r.stop] for r, _ in pairs]),
        token_slice=np.asarray([[t.start, t.stop] for _, t in pairs]),
    )


def theirs_plain_cuts(
    batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
) -> Theirs:
    module, rows = vllm().module(SLICES), int(batch.inputs["padded_reqs"])
    tokens = int(batch.inputs["padded_tokens"])
    slots = torch.zeros(tokens, device=device)
    step = dataclasses.replace(batch, live={"req": rows})
    shared = common(step, given, given["seq_lens"], slot_mapping=slots, num_actual_tokens=tokens)
    found: list[Any] = []

    def call() -> None:
        _, parts = module.maybe_create_ubatch_slices(
            True, batch.extra["num_scheduled"], tokens, rows, batch.extra["ubatches"]
        )
        found[:] = [parts, module.split_attn_metadata(parts, shared)]

    def read() -> Mapping[str, Any]:
        parts, made = found
        own, length = (before[name].clone() for name in ("query_start_loc_of", "seq_lens_of"))
        for u, one in enumerate(made):
            own[u, : one.num_reqs + 1] = one.query_start_loc
            length[u, : one.num_reqs] = one.seq_lens
        return dict(query_start_loc_of=own, seq_lens_of=length, **slices(parts))

    return Theirs(call, read)


PEERS = (
    Peer(
        name="vLLM requests of tokens",
        engine="vllm",
        plan="vllm_token_requests",
        replaces=(
            f"{BACKEND}:CommonAttentionMetadata.token_to_req_indices",
            f"{BACKEND}:CommonAttentionMetadata.naive_query_lens",
            f"{BACKEND}:CommonAttentionMetadata.compute_num_computed_tokens",
            f"{METADATA}:compute_token_to_req_indices",
        ),
        setup=Setup(lambda: vllm_token_requests(max_query=PROMPT), {"req": REQ}),
        batches=requests_of_tokens,
        theirs=theirs_requests,
        bench=bench_requests,
    ),
    Peer(
        name="vLLM slots and lengths under context parallelism",
        engine="vllm",
        plan="vllm_context_parallel",
        replaces=(
            f"{TABLES}:MultiGroupBlockTable.compute_slot_mapping",
            f"{TABLES}:ComputeSlotMappingKernel",
            f"{CONTEXT}:prepare_dcp_local_seq_lens",
            f"{UTILS}:get_dcp_local_seq_lens",
        ),
        setup=Setup(lambda: context_parallel(MOST, PROMPT), {"req": REQ}),
        batches=shards,
        theirs=theirs_shards,
        bench=bench_shards,
    ),
    Peer(
        name="vLLM microbatches",
        engine="vllm",
        plan="vllm_microbatches",
        replaces=(
            f"{GPU_SLICES}:create_ubatch_slices",
            f"{GPU_SLICES}:_slice_input_batch",
            f"{CONTEXT}:prepare_dcp_local_seq_lens",
        ),
        setup=Setup(lambda: microbatches(MOST, ROWS, 2 * REQ * PROMPT + 2, 3), {}),
        batches=cuts,
        theirs=theirs_cuts,
        bench=bench_cuts,
    ),
    Peer(
        name="vLLM microbatches of the older runner",
        engine="vllm",
        plan="vllm_microbatches",
        replaces=(
            f"{SLICES}:maybe_create_ubatch_slices",
            f"{SLICES}:split_attn_metadata",
        ),
        setup=Setup(lambda: microbatches(MOST, ROWS, 2 * REQ * PROMPT + 2, 2), {}),
        batches=plain_cuts,
        theirs=theirs_plain_cuts,
        bench=bench_cuts,
    ),
)
