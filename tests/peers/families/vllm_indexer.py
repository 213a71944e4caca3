# pyright: basic
"""Indexers of sparse attention: the engine's builders, called by its own loop over KV-cache groups."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from metaplan.plans.vllm_indexer import vllm_indexer, vllm_indexer_native, vllm_qsa
from tests.peers.batches import table
from tests.peers.engines import vllm
from tests.peers.peer import Batch, Peer, Setup, Tensors, Theirs
from tests.peers.vllm_batch import Rows, build_all, ragged, replayed, served, slots_of, uniform

REQ, QUERY, MODEL_LEN, SERVED = 6, 4, 1024, 32768
INDEXER = "v1/attention/backends/mla/indexer.py"
QSA = "models/qwen4_exp/common/qsa_cache.py"
Kind = Callable[[np.random.Generator, int, int, int], Iterator[Rows]]


# ------------------------------------------------------------ DeepSeek's indexer


def keys(rng: np.random.Generator, rows: Rows, padded: int, capacity: int, **of: Any) -> Batch:
    """A step of the indexer; ``of`` has its ``ratio``, ``page``, ``way`` and longest sequence."""
    width = of["model_len"] // (of["ratio"] * of["page"])
    inputs: dict[str, Any] = dict(query_start_loc=rows.starts, seq_lens=rows.seq_lens)
    if of["way"] != "native":
        inputs["padded_tokens"] = padded
    if of["way"] != "native" or of["ratio"] > 1:
        inputs["block_table"] = table(rng, rows.count, width)
    if of["ratio"] > 1:
        inputs["slot_mapping"] = np.full(capacity, -1, np.int64)
        inputs["slot_mapping"][:padded] = slots_of(rng, rows, padded, 1 << 20)
    extra = dict(rows=rows, padded=padded, capacity=capacity, **of)
    return Batch(inputs, {"req": rows.count}, rows.label, extra)


def keys_builder(
    of: Mapping[str, Any], made: Mapping[str, torch.Tensor], width: int, device: str
) -> Any:
    """The engine's builder, whose buffers are ``made`` where we compare them."""
    capacity, query, native = of["capacity"], of["query"], of["way"] == "native"

    def buffer(name: str, *shape: int) -> torch.Tensor:
        if name in made and not (native and name in ("decode_lens", "decode_seq_lens")):
            return made[name]
        return torch.zeros(capacity, *shape, dtype=torch.int32, device=device)

    builder = object.__new__(vllm().module(INDEXER).DeepseekV32IndexerMetadataBuilder)
    builder.__dict__.update(
        vllm_config=SimpleNamespace(speculative_config=None),
        dcp_world_size=1,
        pcp_world_size=1,
        use_pcp=False,
        cp_kv_cache_interleave_size=1,
        compress_ratio=of["ratio"],
        kv_cache_spec=SimpleNamespace(num_states=of["page"]),
        num_speculative_tokens=query - 1,
        decode_threshold=query,
        use_flattening=not native,
        supports_varlen=of["way"] == "one kernel",
        num_sms=1,
        offsets_buffer=torch.arange(query, dtype=torch.int32, device=device),
        arange_buffer=torch.arange(capacity, dtype=torch.int32, device=device),
        decode_lens_buffer=buffer("decode_lens"),
        per_req_decode_lens_buffer=buffer("per_req_decode_lens"),
        decode_seq_lens_buffer=buffer("decode_seq_lens"),
        decode_indices_buffer=buffer("decode_indices"),
        expanded_block_table_buffer=buffer("expanded_block_table", width),
        expanded_seq_lens_buffer=buffer("expanded_seq_lens"),
        compressed_slot_mapping_buffer=made.get("compressed_slot_mapping"),
        scheduler_metadata_buffer=torch.zeros(2, 2, dtype=torch.int32, device=device),
    )
    return builder


def keys_found(of: Mapping[str, Any], step: Any, found: dict[str, Any]) -> None:
    """What the builder's metadata says beside its buffers, and which cells it defines."""
    decode = step.decode
    found["per_req_decode_lens"] = decode.per_req_decode_lens
    found["decode_lens"] = decode.decode_lens
    if of["way"] == "native":
        found["decode_seq_lens"] = decode.seq_lens
    elif of["way"] != "one kernel":
        # Of the pages of padding, the engine clears the first one.
        own = torch.ones_like(decode.block_table, dtype=torch.bool)
        own[of["rows"].tokens :, 1:] = False
        found["expanded_block_table"] = (decode.block_table, own)
        found.pop("decode_indices", None)


def keys_theirs(
    batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
) -> Theirs:
    of, made = batch.extra, {n: b.clone() for n, b in before.items()}
    rows, padded, capacity = of["rows"], of["padded"], of["capacity"]
    pages = given.get("block_table")
    if pages is None:
        pages = torch.zeros(rows.count, 1, dtype=torch.int32, device=device)
    builder = keys_builder(of, made, pages.shape[1], device)
    slots = given.get("slot_mapping")
    if slots is None:
        slots = torch.zeros(capacity, dtype=torch.int64, device=device)
    found: dict[str, Any] = dict(made)

    def call() -> None:
        (step,) = build_all(
            rows,
            [builder],
            given,
            block_tables=[pages],
            slot_mappings=[slots[:padded]],
            num_tokens=padded,
        )
        keys_found(of, step, found)

    return Theirs(call, lambda: found)


def keys_peer(name: str, way: str, kind: Kind, *, ratio: int = 1, page: int = 64) -> Peer:
    native = way == "native"
    most = 2 if native else QUERY  # the engine's own kernels take two without DeepGEMM

    def setup(requests: int, query: int, tokens: int, model_len: int) -> Setup:
        of: Any = dict(query=query, ratio=ratio, page=page, max_model_len=model_len)
        sizes = {"req": requests, "page": model_len // (ratio * page)}
        sizes |= {} if native and ratio == 1 else {"tok": tokens}
        sizes |= {"token": tokens} if ratio > 1 else {}
        sizes = {n: size for n, size in sizes.items() if n != "page" or not native or ratio > 1}
        return Setup(lambda: (vllm_indexer_native if native else vllm_indexer)(**of), sizes)

    def batches(rng: np.random.Generator) -> Iterator[Batch]:
        for rows in kind(rng, REQ, most, MODEL_LEN):
            query = int(rows.query_lens.max()) if native else most
            if query != most:
                continue  # another shape of the lengths, and another graph
            padded = rows.tokens
            if kind is ragged and not native:
                padded = int(rng.integers(rows.tokens, REQ * QUERY + 1))
            of: Any = dict(ratio=ratio, page=page, way=way, query=most, model_len=MODEL_LEN)
            yield keys(rng, rows, padded, REQ * QUERY, **of)

    def bench(requests: int, query: int) -> tuple[Setup, Batch]:
        query = min(query, 2) if native else query
        rows, rng = served(requests, query), np.random.default_rng(0)
        of: Any = dict(ratio=ratio, page=page, way=way, query=query, model_len=SERVED)
        batch = keys(rng, rows, rows.tokens, rows.tokens, **of)
        return setup(requests, query, rows.tokens, SERVED), batch

    replaces = [f"{INDEXER}:DeepseekV32IndexerMetadataBuilder.build"]
    if way == "one kernel":
        replaces.append("v1/attention/ops/metadata.py:_indexer_decode_metadata_kernel")
    else:
        replaces.append(f"{INDEXER}:DeepseekV32IndexerMetadataBuilder._prepare_decode_tensors")
    if way == "uniform":
        replaces.append(f"{INDEXER}:PrepareUniformDecodeKernel")
    if ratio > 1:
        replaces.append("v1/attention/backends/mla/compressor_utils.py:get_compressed_slot_mapping")
    return Peer(
        name=name,
        engine="vllm",
        plan="vllm_indexer_native" if native else "vllm_indexer",
        replaces=tuple(replaces),
        setup=setup(REQ, most, REQ * QUERY, MODEL_LEN),
        batches=batches,
        theirs=keys_theirs,
        bench=bench,
    )


# ------------------------------------------------------------ QSA


RATIO, KEYS, RING = 4, 16, 2


def qsa(rng: np.random.Generator, rows: Rows, padded: int, capacity: int, **of: Any) -> Batch:
    rings = table(rng, rows.count, 1)
    rings[rng.random(rows.count) < 0.2] = 0  # dummy requests own no ring
    slots = np.full(capacity, -1, np.int64)
    slots[:padded] = slots_of(rng, rows, padded, 1 << 20)
    inputs = dict(
        query_start_loc=rows.starts,
        seq_lens=rows.seq_lens,
        slot_mapping=slots,
        ring_table=rings,
        block_table=table(rng, rows.count, of["model_len"] // (of["ratio"] * of["page"])),
        padded_tokens=padded,
    )
    return Batch(inputs, {"req": rows.count}, rows.label, dict(rows=rows, padded=padded, **of))


def qsa_theirs(
    batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
) -> Theirs:
    of, made = batch.extra, {n: b.clone() for n, b in before.items()}
    rows, padded = of["rows"], of["padded"]
    cls = vllm().module(QSA).QSAMetadataBuilder

    def builder(circular: bool) -> Any:
        own = object.__new__(cls)
        own.__dict__.update(
            reorder_batch_threshold=int(rows.query_lens.max()),
            is_circular_buffer=circular,
            kv_cache_spec=SimpleNamespace(block_size=of["ring"]),
            compress_ratio=1 if circular else of["ratio"],
            storage_block_size=of["ring"] if circular else of["page"],
            request_capacity=rows.count,
            token_to_req_buffer=made["token_to_req"].clone() if circular else made["token_to_req"],
            slot_mapping_buffer=made["ring_slot_mapping" if circular else "key_slot_mapping"],
            logical_positions_buffer=(
                made["logical_positions"].clone() if circular else made["logical_positions"]
            ),
            visible_blocks_buffer=made["ring_visible" if circular else "visible_blocks"],
            k_work_metadata_buffer=made["k_work_metadata"],
        )
        return own

    builders = [builder(True), builder(False)]

    def call() -> None:
        build_all(
            rows,
            builders,
            given,
            block_tables=[given["ring_table"], given["block_table"]],
            slot_mappings=[given["slot_mapping"][:padded]] * 2,
            num_tokens=padded,
        )

    return Theirs(call, lambda: made)


def qsa_setup(requests: int, query: int, tokens: int, model_len: int, **of: int) -> Setup:
    sizes = {"req": requests, "tok": tokens, "token": tokens, "ring": 1}
    sizes |= {
        "page": model_len // (of["ratio"] * of["page"]),
        "work": (tokens + (of["ratio"] - 1) * requests) // of["ratio"],
    }
    return Setup(lambda: vllm_qsa(query=query, max_model_len=model_len, **of), sizes)


def qsa_batches(rng: np.random.Generator) -> Iterator[Batch]:
    of = dict(ratio=RATIO, page=KEYS, ring=RING, model_len=MODEL_LEN)
    for rows in ragged(rng, REQ, QUERY, MODEL_LEN):
        yield qsa(rng, rows, int(rng.integers(rows.tokens, REQ * QUERY + 1)), REQ * QUERY, **of)


def qsa_bench(requests: int, query: int) -> tuple[Setup, Batch]:
    rows, of = served(requests, query), dict(ratio=16, page=64, ring=32)
    batch = qsa(np.random.default_rng(0), rows, rows.tokens, rows.tokens, model_len=SERVED, **of)
    return qsa_setup(requests, query, rows.tokens, SERVED, **of), batch


PEERS = (
    keys_peer("vLLM indexer, equal queries", "uniform", uniform),
    keys_peer("vLLM indexer, queries of any length", "many operations", ragged, ratio=4),
    keys_peer("vLLM indexer, one kernel", "one kernel", ragged, ratio=4),
    keys_peer("vLLM indexer, native", "native", uniform),
    keys_peer("vLLM indexer, native and compressed", "native", replayed, ratio=4),
    Peer(
        name="vLLM QSA caches",
        engine="vllm",
        plan="vllm_qsa",
        replaces=(
            f"{QSA}:QSAMetadataBuilder.build",
            f"{QSA}:build_qsa_metadata_triton",
            f"{QSA}:_build_qsa_metadata_kernel",
        ),
        setup=qsa_setup(REQ, QUERY, REQ * QUERY, MODEL_LEN, ratio=RATIO, page=KEYS, ring=RING),
        batches=qsa_batches,
        theirs=qsa_theirs,
        bench=qsa_bench,
    ),
)
