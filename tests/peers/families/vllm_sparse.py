# pyright: basic
"""DeepSeek's sparse attention: the engine's builders, called by its own loop over KV-cache groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from metaplan.lang.plan import Plan
from metaplan.plans.vllm_sparse import Compressed, Window, vllm_sparse_mla, vllm_sparse_swa
from tests.peers.batches import table
from tests.peers.engines import vllm
from tests.peers.peer import Batch, Peer, Setup, Tensors, Theirs
from tests.peers.vllm_batch import Rows, build_all, ragged, served, slots_of

REQ, QUERY, CHUNK, MODEL_LEN, SERVED = 6, 4, 8, 512, 32768
SPARSE = "v1/attention/backends/mla/sparse_swa.py"
STATES = "models/deepseek_v4/sparse_mla.py"
ROCM = "models/deepseek_v41/amd/ops/swa_decode_meta.py"
ATTN_UTILS = "v1/worker/gpu/attn_utils.py"


# ------------------------------------------------------------ windows


def windows(
    rng: np.random.Generator,
    rows: Rows,
    groups: tuple[Window, ...],
    padded: int,
    capacity: int,
    model_len: int,
    **of: Any,
) -> Batch:
    inputs: dict[str, Any] = dict(
        query_start_loc=rows.starts, seq_lens=rows.seq_lens, padded_tokens=padded
    )
    context = (rows.seq_lens - rows.query_lens).clip(0)
    if of.get("replay"):
        inputs["replay_start"] = rng.integers(0, context + 1).astype(np.int32)
    if of.get("num_decodes") is not None:
        inputs["num_decodes"] = of["num_decodes"]
    for g, group in enumerate(groups):
        inputs[f"slot_mapping_{g}"] = np.full(capacity, -1, np.int64)
        inputs[f"slot_mapping_{g}"][:padded] = slots_of(rng, rows, padded, 1 << 20)
        inputs[f"block_table_{g}"] = table(rng, rows.count, model_len // group.page)
    extra = dict(rows=rows, groups=groups, padded=padded, **of)
    return Batch(inputs, {"req": rows.count}, rows.label, extra)


def window_builder(
    group: Window, query: int, made: dict[str, torch.Tensor], g: int, device: str
) -> Any:
    """The engine's builder, whose buffers are ``made``; those that we do not compare are its own."""
    cls = vllm().module(SPARSE).DeepseekSparseSWAMetadataBuilder
    builder = object.__new__(cls)
    tokens = len(made["token_to_req_indices"])

    def buffer(name: str, dtype: torch.dtype, *shape: int) -> torch.Tensor:
        own = made.get(f"{name}_{g}")
        if own is not None:
            return own.view(tokens, *shape)
        return torch.zeros(tokens, *shape, dtype=dtype, device=device)

    decode = buffer("decode_swa_indices", torch.int32, 1, group.width)
    builder.__dict__.update(
        decode_threshold=query,
        window_size=group.reach,
        block_size=group.page,
        max_image_tokens=0,
        prefill_index_width=group.reach,
        _layer_types=set(),
        token_to_req_indices=made["token_to_req_indices"],
        is_valid_token=buffer("is_valid_token", torch.bool),
        decode_swa_indices=decode,
        decode_swa_lens=buffer("decode_swa_lens", torch.int32),
        prefill_swa_indices=buffer("prefill_swa_indices", torch.int32, 1, group.width),
        prefill_swa_lens=buffer("prefill_swa_lens", torch.int32),
        is_dspark=group.block > 0,
        noncausal_index_width=group.width,
        decode_swa_indices_noncausal=decode if group.block else None,
        _max_tokens=tokens,
        no_replay_start=torch.zeros(1 << 16, dtype=torch.int32, device=device),
        max_model_len=MODEL_LEN,
        max_num_batched_tokens=tokens,
        device=device,
    )
    return builder


def windows_theirs(
    batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
) -> Theirs:
    of, made = batch.extra, {n: b.clone() for n, b in before.items()}
    groups, rows, padded = of["groups"], of["rows"], of["padded"]
    builders = [
        window_builder(group, of["query"], made, g, device) for g, group in enumerate(groups)
    ]
    results: dict[str, Any] = dict(made)

    def call() -> None:
        found = build_all(
            rows,
            builders,
            given,
            block_tables=[given[f"block_table_{g}"] for g in range(len(groups))],
            slot_mappings=[given[f"slot_mapping_{g}"][:padded] for g in range(len(groups))],
            num_tokens=padded,
            causal=not groups[0].block,
            extra={"replay_start": given["replay_start"]} if of.get("replay") else None,
        )
        if found[0].prefill_gather_lens is not None:
            results["prefill_gather_lens"] = found[0].prefill_gather_lens
        # A step without decodes leaves their lengths as they were: no layer reads them.
        if found[0].num_decode_tokens == 0:
            for g in range(len(groups)):
                results.pop(f"decode_swa_lens_{g}", None)

    return Theirs(call, lambda: results)


def rocm_theirs(
    batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
) -> Theirs:
    of, made = batch.extra, {n: b.clone() for n, b in before.items()}
    group, rows, padded = of["groups"][0], of["rows"], of["padded"]
    builder = window_builder(group, of["query"], made, 0, device)
    builder.__dict__.update(
        decode_swa_ragged_indices_buffer=made["decode_swa_packed_0"],
        decode_swa_ragged_indptr_buffer=made["decode_swa_indptr_0"],
    )
    module, live = vllm().module(ROCM), {}
    builder.build = lambda prefix, shared, **_: module.build(
        builder, prefix, shared, False, None, SimpleNamespace
    )

    def call() -> None:
        found = build_all(
            rows,
            [builder],
            given,
            block_tables=[given["block_table_0"]],
            slot_mappings=[given["slot_mapping_0"][:padded]],
            num_tokens=padded,
            causal=not group.block,
        )
        assert found[0] is not None, "the engine takes another path for this batch"

    def read() -> Mapping[str, Any]:
        cells, packed = int(made["decode_swa_indptr_0"][padded]), made["decode_swa_packed_0"]
        live.update(made)
        live["decode_swa_packed_0"] = packed[:cells]
        live["decode_swa_indptr_0"] = made["decode_swa_indptr_0"][: padded + 1]
        return live

    return Theirs(call, read)


def windows_peer(
    name: str,
    groups: tuple[Window, ...],
    *,
    served_groups: tuple[Window, ...] | None = None,
    plan: str = "vllm_sparse_swa",
    replay: bool = False,
    mixed: bool = False,
    rocm: bool = False,
) -> Peer:
    def declared(kinds: tuple[Window, ...], query: int, chunk: int, model_len: int) -> Plan:
        return vllm_sparse_swa(
            groups=kinds,
            query=query,
            prompts=chunk if mixed else 0,
            replay=replay,
            max_model_len=model_len,
        )

    def sizes(kinds: tuple[Window, ...], requests: int, tokens: int, model_len: int) -> Any:
        pages = {f"page_{g}": model_len // group.page for g, group in enumerate(kinds)}
        parts = {"decode": tokens, "prefill": tokens} if mixed else {}
        return {"req": requests, "tok": tokens, "token": tokens, **pages, **parts}

    tokens = REQ * (CHUNK if mixed else QUERY)

    def batches(rng: np.random.Generator) -> Iterator[Batch]:
        for at, rows in enumerate(ragged(rng, REQ, QUERY, MODEL_LEN)):
            decodes = None
            if mixed:
                decodes = (at + rows.count) % rows.count
                lens = rows.query_lens.copy()
                chunk = rng.integers(QUERY + 1, CHUNK + 1, rows.count - decodes)
                lens[decodes:] = np.minimum(chunk, rows.seq_lens[decodes:])
                if (lens[decodes:] <= QUERY).any():
                    continue
                rows = replace(rows, query_lens=lens)
            padded = rows.tokens if mixed else int(rng.integers(rows.tokens, tokens + 1))
            of: Any = dict(replay=replay, num_decodes=decodes, query=QUERY)
            yield windows(rng, rows, groups, padded, tokens, MODEL_LEN, **of)

    def bench(requests: int, query: int) -> tuple[Setup, Batch]:
        requests = min(requests, 32 // query) if rocm else requests  # it takes no more tokens
        kinds, rows, decodes = served_groups or groups, served(requests, query), None
        if mixed:  # one request in sixteen is a prompt chunk
            decodes = requests - -(-requests // 16)
            rows.query_lens[decodes:] = 64
        of: Any = dict(replay=replay, num_decodes=decodes, query=query)
        rng, tokens = np.random.default_rng(0), rows.tokens
        batch = windows(rng, rows, kinds, tokens, tokens, SERVED, **of)
        made = sizes(kinds, requests, tokens, SERVED)
        return Setup(lambda: declared(kinds, query, 64, SERVED), made), batch

    replaces = [
        f"{SPARSE}:DeepseekSparseSWAMetadataBuilder.build",
        f"{SPARSE}:_compute_swa_indices_and_lens_kernel",
        "v1/attention/ops/metadata.py:compute_token_to_req_indices",
    ]
    if rocm:
        replaces = [f"{ROCM}:build", f"{ROCM}:_decode_swa_meta_kernel"]
    if groups[0].block:
        replaces.append(f"{SPARSE}:ComputeDSparkNoncausalSWAIndicesKernel")
    if mixed:
        replaces.append(f"{SPARSE}:ComputePrefillMetadataKernel")
    return Peer(
        name=name,
        engine="vllm",
        plan=plan,
        replaces=tuple(replaces),
        setup=Setup(lambda: declared(groups, QUERY, CHUNK, MODEL_LEN), sizes(groups, REQ, tokens, MODEL_LEN)),
        batches=batches,
        theirs=rocm_theirs if rocm else windows_theirs,
        bench=bench,
    )  # fmt: skip


# ------------------------------------------------------------ compressed states


STATES_LEN = 40960


def states(
    rng: np.random.Generator,
    rows: Rows,
    groups: tuple[Compressed, ...],
    padded: int,
    capacity: int,
    model_len: int,
) -> Batch:
    most = -(-model_len // (128 * 128)) * 128
    known = max(int(rows.seq_lens.max()) // 128, 1)
    width = min(max(1 << (known - 1).bit_length(), 128), most)
    inputs: dict[str, Any] = dict(
        query_start_loc=rows.starts, seq_lens=rows.seq_lens, padded_tokens=padded
    )
    if any(group.listed for group in groups):
        inputs["topk_width"] = width
    for group in groups:
        slots = np.full(capacity, -1, np.int64)
        slots[:padded] = slots_of(rng, rows, padded, 1 << 20)
        pages = table(rng, rows.count, model_len // group.page)
        pages[np.arange(pages.shape[1]) * group.page >= rows.seq_lens[:, None]] = -1
        inputs[f"slot_mapping_c{group.ratio}"] = slots
        inputs[f"block_table_c{group.ratio}"] = pages
    extra = dict(rows=rows, groups=groups, padded=padded)
    return Batch(inputs, {"req": rows.count}, rows.label, extra)


def states_builder(
    group: Compressed, query: int, made: Mapping[str, torch.Tensor], device: str
) -> Any:
    """The engine's builder for one compressed group, whose buffers are ``made``."""
    builder = object.__new__(vllm().module(STATES).DeepseekV4SparseMLAMetadataBuilder)
    slots = made[f"compressed_slot_mapping_c{group.ratio}"]
    tokens = made.get("req_id_per_token", torch.zeros(len(slots), dtype=torch.int32, device=device))
    builder.__dict__.update(
        reorder_batch_threshold=query,
        topk_tokens=512,
        req_id_per_token_buffer=tokens,
        compress_ratio=group.ratio,
        kv_cache_spec=SimpleNamespace(block_size=group.page, num_states=group.states),
        compressed_slot_mapping_buffer=slots,
    )
    if group.listed:
        lists = made["c128a_decode_topk_indices"]
        builder.__dict__.update(
            c128a_max_compressed=lists.shape[1],
            c128a_global_decode_buffer=lists,
            c128a_decode_lens_buffer=made["c128a_decode_topk_lens"],
            c128a_prefill_buffer=torch.zeros_like(lists[:1]).expand_as(lists),
        )
    return builder


def padded_positions(rows: Rows, padded: int, device: str) -> torch.Tensor:
    positions = np.zeros(padded, np.int64)
    positions[: rows.tokens] = rows.positions
    return torch.from_numpy(positions).to(device)


def without_padding(lists: torch.Tensor, rows: Rows, padded: int) -> Any:
    """``lists`` and their mask: those of padding come from positions that nobody has written."""
    token = torch.arange(len(lists), device=lists.device)
    return lists, ((token < rows.tokens) | (token >= padded))[:, None]


def states_theirs(
    batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
) -> Theirs:
    of, made = batch.extra, {n: b.clone() for n, b in before.items()}
    groups, rows, padded = of["groups"], of["rows"], of["padded"]
    query = int(rows.query_lens.max())
    builders = [states_builder(group, query, made, device) for group in groups]
    positions = padded_positions(rows, padded, device)

    def call() -> None:
        build_all(
            rows,
            builders,
            given,
            block_tables=[given[f"block_table_c{group.ratio}"] for group in groups],
            slot_mappings=[given[f"slot_mapping_c{group.ratio}"][:padded] for group in groups],
            num_tokens=padded,
            positions=positions,
        )

    def read() -> Mapping[str, Any]:
        found: dict[str, Any] = dict(made)
        lists = found.get("c128a_decode_topk_indices")
        if lists is not None:
            found["c128a_decode_topk_indices"] = without_padding(lists, rows, padded)
        return found

    return Theirs(call, read)


def states_peer(name: str, groups: tuple[Compressed, ...]) -> Peer:
    def sizes(requests: int, tokens: int, model_len: int) -> dict[str, int]:
        pages = {f"page_c{group.ratio}": model_len // group.page for group in groups}
        return {"req": requests, "tok": tokens, "token": tokens, **pages}

    def declared(query: int, model_len: int) -> Plan:
        return vllm_sparse_mla(groups=groups, query=query, max_model_len=model_len)

    def batches(rng: np.random.Generator) -> Iterator[Batch]:
        for rows in ragged(rng, REQ, QUERY, STATES_LEN):
            padded = int(rng.integers(rows.tokens, REQ * QUERY + 1))
            yield states(rng, rows, groups, padded, REQ * QUERY, STATES_LEN)

    def bench(requests: int, query: int) -> tuple[Setup, Batch]:
        rows, rng = served(requests, query), np.random.default_rng(0)
        batch = states(rng, rows, groups, rows.tokens, rows.tokens, SERVED)
        return Setup(lambda: declared(query, SERVED), sizes(requests, rows.tokens, SERVED)), batch

    replaces = [
        f"{STATES}:DeepseekV4SparseMLAMetadataBuilder.build",
        "v1/attention/backends/mla/compressor_utils.py:get_compressed_slot_mapping",
        "v1/attention/backends/mla/compressor_utils.py:CompressedSlotMappingKernel",
        "v1/attention/ops/metadata.py:compute_token_to_req_indices",
    ]
    if any(group.listed for group in groups):
        replaces += [
            f"{STATES}:build_c128a_topk_metadata",
            f"{STATES}:BuildC128ATopkMetadataKernel",
        ]
    return Peer(
        name=name,
        engine="vllm",
        plan="vllm_sparse_mla",
        replaces=tuple(replaces),
        setup=Setup(lambda: declared(QUERY, STATES_LEN), sizes(REQ, REQ * QUERY, STATES_LEN)),
        batches=batches,
        theirs=states_theirs,
        bench=bench,
    )


PEERS = (
    windows_peer("vLLM SWA windows", (Window(64, 128),)),
    windows_peer(
        "vLLM SWA windows of several groups",
        (Window(64, 128), Window(32, 128), Window(64, 96)),
        served_groups=(Window(),) * 8,
    ),
    windows_peer("vLLM SWA windows with prompts", (Window(64, 128),), replay=True, mixed=True),
    windows_peer("vLLM DSpark blocks", (Window(64, 128, block=QUERY),)),
    windows_peer("vLLM SWA windows on ROCm", (Window(64, 128, packed=True),), rocm=True),
    windows_peer(
        "vLLM DSpark blocks on ROCm", (Window(64, 128, block=QUERY, packed=True),), rocm=True
    ),
    states_peer("vLLM compressed states", (Compressed(4),)),
    states_peer("vLLM compressed states, with lists", (Compressed(4), Compressed(128))),
)
