# pyright: basic
"""The Triton backend's metadata: SGLang's own replay preparation beside one launch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from metaplan.plans.sglang_triton import Splits, sglang_triton
from tests.peers.engines import sglang
from tests.peers.peer import Batch, Peer, Setup, Tensors, Theirs
from tests.peers.sglang_parts import (
    ROWS,
    SERVED,
    made,
    moved,
    named,
    request_table,
    requests,
    served,
    translator,
    window_pool,
)

REQ, POOL, CONTEXT, SLOTS, WINDOW, DRAFTS = 6, 9, 160, 1 << 10, 16, 5
SERVED_WINDOW, CORES = 1024, 132
SMALL: Any = dict(window=WINDOW, moved=True, context=CONTEXT, rows=POOL, slots=SLOTS)
LARGE: Any = dict(window=SERVED_WINDOW, moved=True, context=SERVED, rows=ROWS, slots=1 << 20)
BACKEND = "srt/layers/attention/triton_backend.py"
REPLACED = (
    f"{BACKEND}:TritonAttnBackend._apply_cuda_graph_metadata",
    f"{BACKEND}:TritonAttnBackend._fill_kv_indptr_and_indices",
    f"{BACKEND}:update_sliding_window_buffer",
    "srt/mem_cache/kv_index_translator.py:KVIndexTranslator.pack_read_stream",
    "kernels/ops/attention/kv_indices.py:create_flashinfer_kv_indices_triton",
)


def cores_of(context: int) -> np.ndarray:
    """How many programs are worthwhile for a longest sequence of n tokens, int32[context + 1]."""
    n = np.maximum(np.arange(context + 1), 1).astype(np.float32) / np.float32(64)
    return (np.float32(CORES) * np.maximum(np.log2(n), np.float32(1))).astype(np.int32)


def reads(rng: np.random.Generator) -> dict[str, Any]:
    table = request_table(rng, POOL, CONTEXT, slots=SLOTS)
    return dict(req_to_token=table, full_to_swa=moved(rng, SLOTS))


def decoded(rng: np.random.Generator) -> Iterator[Batch]:
    for label, some in requests(rng, REQ, 16, CONTEXT, POOL, low=1):
        if len(some["seq_lens"]):  # the engine divides by the number of requests
            yield decode_step(rng, some, label)
    for lengths in ((100, 80, 90), (100, 81), (160, 20, 1)):
        some = dict(req_pool_indices=np.arange(1, len(lengths) + 1), seq_lens=np.array(lengths))
        yield decode_step(rng, some, "lengths that are just even, or uneven")


def decode_step(rng: np.random.Generator, some: dict[str, Any], label: str) -> Batch:
    inputs = {**some, **reads(rng), "cores_of": cores_of(CONTEXT)}
    return Batch(inputs, {"req": len(some["seq_lens"])}, label, dict(window=WINDOW))


def verified(rng: np.random.Generator) -> Iterator[Batch]:
    for label, some in requests(rng, REQ, 16, CONTEXT, POOL):
        extra = dict(window=WINDOW, drafts=DRAFTS)
        yield Batch({**some, **reads(rng)}, {"req": len(some["seq_lens"])}, label, extra)


def extended(rng: np.random.Generator) -> Iterator[Batch]:
    for batch in verified(rng):
        new = rng.integers(0, DRAFTS + 1, batch.live["req"]).astype(np.int32)
        inputs = {**batch.inputs, "extend_lens": new}
        yield Batch(inputs, batch.live, batch.label, batch.extra)


def backend(
    batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
) -> tuple[Any, dict[str, torch.Tensor]]:
    """The engine's backend over buffers that hold what ours do, and those buffers by our names."""
    own = {name: value.clone() for name, value in before.items()}
    own |= {name: torch.zeros_like(x) for name, x in before.items() if name.endswith("indptr")}
    cells = torch.zeros(batch.live["req"], dtype=torch.int32, device=device)
    made_backend = made(
        sglang().module(BACKEND).TritonAttnBackend,
        device=device,
        dcp_size=1,
        kv_index_translator=translator(given["req_to_token"]),
        token_to_kv_pool=window_pool(given["full_to_swa"]),
        sliding_window_size=batch.extra["window"],
        kv_indptr=own["kv_indptr"],
        window_kv_indptr=own["window_kv_indptr"],
        qo_indptr=own.get("qo_indptr"),
        mask_indptr=own.get("mask_indptr"),
        cuda_graph_kv_indices=own["kv_indices"],
        cuda_graph_window_kv_indices=own["window_kv_indices"],
        cuda_graph_window_kv_offsets=own.get("window_kv_offsets", cells),
        cuda_graph_num_kv_splits=own.get("num_kv_splits"),
        cuda_graph_window_num_kv_splits=own.get("window_num_kv_splits", cells),
        cuda_graph_uneven_batch=own.get("uneven_batch"),
        static_kv_splits=False,
        enable_deterministic=False,
        split_tile_size=None,
        device_core_count=CORES,
        max_kv_splits=Splits().most,
        num_head=Splits().heads,
        num_kv_head=Splits().kv_heads,
        num_draft_tokens=batch.extra.get("drafts"),
        _verify_mask=None,
    )
    return made_backend, own


def theirs(batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str) -> Theirs:
    made_backend, own = backend(batch, given, before, device)
    n, extend_lens = batch.live["req"], given.get("extend_lens")
    verifies = "drafts" in batch.extra and extend_lens is None
    mode = named(
        is_decode_or_idle=lambda: "drafts" not in batch.extra,
        is_target_verify=lambda: verifies,
        is_dllm_extend=lambda: False,
        is_draft_extend_v2=lambda: extend_lens is not None,
    )
    spec = None
    if "drafts" in batch.extra:
        spec = named(
            num_tokens_per_req=batch.extra["drafts"],
            custom_mask=None,
            extend_seq_lens_tensor=extend_lens,
        )

    def call() -> None:
        made_backend._apply_cuda_graph_metadata(
            None, n, given["req_pool_indices"], given["seq_lens"], mode, spec
        )

    def read() -> Mapping[str, Any]:
        return {k: x[: n + 1] if k.endswith("indptr") else x for k, x in own.items()}

    return Theirs(call, read)


def bench(kind: str) -> Any:
    def at_full_size(count: int, query: int) -> tuple[Setup, Batch]:
        rng = np.random.default_rng(0)
        own = served(rng, count)
        inputs: dict[str, Any] = {
            **own,
            "req_to_token": request_table(rng, ROWS, SERVED),
            "full_to_swa": moved(rng, LARGE["slots"]),
        }
        extra: dict[str, Any] = dict(window=SERVED_WINDOW)
        options: dict[str, Any] = {}
        if kind == "decode":
            inputs["cores_of"] = cores_of(SERVED)
            options["splits"] = Splits()
        else:
            options[kind] = extra["drafts"] = query
        if kind == "extend":
            inputs["extend_lens"] = np.full(count, query, np.int32)
        sizes = {"req": count, "entry": max(int(own["seq_lens"].sum()), SERVED), "row": ROWS}
        setup = Setup(lambda: sglang_triton(**options, **LARGE), sizes)
        return setup, Batch(inputs, {"req": count}, extra=extra)

    return at_full_size


PEERS = (
    Peer(
        name="SGLang Triton decode",
        engine="sglang",
        plan="sglang_triton",
        replaces=(
            f"{BACKEND}:TritonAttnBackend._update_decode_kv_buffers",
            f"{BACKEND}:TritonAttnBackend.get_num_kv_splits",
            "kernels/ops/attention/metadata.py:get_num_kv_splits_triton",
            *REPLACED,
        ),
        setup=Setup(lambda: sglang_triton(splits=Splits(), **SMALL), {"req": REQ}),
        batches=decoded,
        theirs=theirs,
        bench=bench("decode"),
    ),
    Peer(
        name="SGLang Triton verify",
        engine="sglang",
        plan="sglang_triton_verify",
        replaces=(f"{BACKEND}:TritonAttnBackend._update_target_verify_buffers", *REPLACED),
        setup=Setup(lambda: sglang_triton(drafts=DRAFTS, **SMALL), {"req": REQ}),
        batches=verified,
        theirs=theirs,
        bench=bench("drafts"),
    ),
    Peer(
        name="SGLang Triton draft extend",
        engine="sglang",
        plan="sglang_triton_verify",
        replaces=(f"{BACKEND}:TritonAttnBackend._update_draft_extend_buffers", *REPLACED),
        setup=Setup(lambda: sglang_triton(extend=DRAFTS, **SMALL), {"req": REQ}),
        batches=extended,
        theirs=theirs,
        bench=bench("extend"),
    ),
)
