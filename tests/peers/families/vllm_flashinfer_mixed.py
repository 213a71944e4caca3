# pyright: basic
"""FlashInfer steps with prompts in them: vLLM's builder, whole, beside one launch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from metaplan.lang.plan import Plan
from metaplan.plans.engine_step import Interleave
from metaplan.plans.vllm_flashinfer import vllm_flashinfer_mixed
from tests.peers.batches import table
from tests.peers.engines import vllm
from tests.peers.families.vllm_flashinfer import BUILDER, Buffer
from tests.peers.peer import Batch, Peer, Setup, Tensors, Theirs
from tests.peers.vllm_parts import SERVED, common, decodes, fences, mixed, padded, served_step

PAGE, REQ, MOST, PROMPT, DRAFTS = 16, 6, 160, 24, 3
CP, NOT_PARALLEL = Interleave(size=4, rank=1, run=4), Interleave()
COUNTS = ("num_decodes", "num_prefills", "num_decode_tokens", "num_prefill_tokens")
UTILS = "v1/attention/backends/utils.py"


def declared(longest: int, most: int, threshold: int, interleave: Interleave | None) -> Plan:
    return vllm_flashinfer_mixed(
        threshold=threshold,
        interleave=interleave,
        page=PAGE,
        max_model_len=longest,
        max_query=most,
    )


def step(
    rng: np.random.Generator, query: Any, seq_lens: Any, label: str, width: int, threshold: int
) -> Batch:
    n = len(query)
    inputs = dict(
        query_start_loc=fences(query, max(n, REQ)),
        seq_lens=seq_lens,
        block_table=table(rng, n, width),
        padded_tokens=int(query.sum()),
    )
    return Batch(inputs, {"req": n}, label, dict(threshold=threshold))


def steps(rng: np.random.Generator, width: int, query: int) -> Iterator[Batch]:
    for label, tokens, lengths in decodes(rng, REQ, query, PAGE, MOST):
        yield step(rng, tokens, lengths, label, width, query)
    for label, tokens, lengths in mixed(rng, REQ, query, PROMPT, MOST):
        yield step(rng, tokens, lengths, label, width, query)
    lengths = rng.integers(query + 1, MOST + 1, REQ).astype(np.int32)
    yield step(rng, *padded(lengths), "padding rows", width, query)
    tokens = np.asarray([query, query, query, 0, 0, PROMPT], np.int32)
    lengths[-1] = PROMPT
    yield step(rng, tokens, lengths, "a prompt behind rows without tokens", width, query)


def bench(interleave: Interleave | None, threshold: int, requests: int, query: int) -> Any:
    rng, query_len, seq_lens = served_step(requests, query)
    width, threshold = SERVED // PAGE, max(threshold, query)
    sizes = {"req": requests, "page": width, "entry": requests * width}
    setup = Setup(lambda: declared(SERVED, query, threshold, interleave), sizes)
    return setup, step(rng, query_len, seq_lens, "", width, threshold)


class Builder:
    """The engine's builder with the fields that ``build`` reads, and what the library's wrappers were told."""

    def __init__(
        self,
        batch: Batch,
        before: Mapping[str, torch.Tensor],
        device: str,
        interleave: Interleave,
        trtllm: bool,
    ) -> None:
        module, n = vllm().module(BUILDER), batch.live["req"]
        threshold = batch.extra["threshold"]
        self.indices = before["paged_kv_indices"].clone()
        self.fences, self.last = Buffer(n + 1, device), Buffer(n, device)
        self.told: dict[str, Any] = {}
        prefill = _recorder(module.BatchPrefillWithPagedKVCacheWrapper, self.told)
        if interleave.size > 1:
            whole = object.__new__(module.BatchDCPPrefillWrapper)
            whole._native_context, whole._trtllm_context = prefill, None
            whole._new_tokens = _recorder(module.BatchPrefillWithRaggedKVCacheWrapper, {})
            prefill = whole
        alike = SimpleNamespace(has_same_window_lefts=True, has_same_all_params=True)
        nothing = SimpleNamespace(get_resolved_kv_cache_layout=lambda: None, dtype=None)
        self.made = made = object.__new__(module.FlashInferMetadataBuilder)
        made.__dict__.update(
            _decode_wrapper=_recorder(module.BatchDecodeWithPagedKVCacheWrapper, {}),
            _prefill_wrapper=prefill,
            _num_speculative_tokens=DRAFTS,  # so that it waits for the true lengths
            attention_config=SimpleNamespace(use_trtllm_attention=trtllm),
            cache_config=nothing,
            model_config=nothing,
            global_hyperparameters=alike,
            page_size=PAGE,
            cache_dtype="auto",
            reorder_batch_threshold=threshold,
            use_dcp=interleave.size > 1,
            dcp_world_size=interleave.size,
            dcp_rank=interleave.rank,
            dcp_kv_cache_interleave_size=interleave.run,
            use_fa2_native_decode=True,
            num_qo_heads=1,
            paged_kv_indptr=self.fences,
            paged_kv_indices=self.indices,
            paged_kv_last_page_len=self.last,
            **dict.fromkeys(
                ("use_xqa", "use_trtllm_gen_varlen_decode", "enable_cuda_graph"), False
            ),
            **dict.fromkeys(("use_trtllm_decode_attention", "has_sinks", "nvfp4_trtllm"), False),
            **dict.fromkeys(("q_data_type_prefill", "q_data_type_decode", "kv_cache_dtype")),
            **dict.fromkeys(("num_kv_heads", "head_dim", "sm_scale", "window_left")),
            **dict.fromkeys(("logits_soft_cap", "prefill_fixed_split_size")),
            **dict.fromkeys(("decode_fixed_split_size", "disable_split_kv")),
        )

    def build(self, shared: Any) -> Any:
        self.told.clear()
        return self.made.build(0, shared)


def _recorder(kind: type, told: dict[str, Any]) -> Any:
    class Recorder(kind):
        is_cuda_graph_enabled = False

        def __init__(self) -> None:
            """Nothing of the library's."""

        def plan(self, **what: Any) -> None:
            told.update(what)

    return Recorder()


def counts(metadata: Any) -> dict[str, Any]:
    return {name: np.asarray([int(getattr(metadata, name))]) for name in COUNTS}


def theirs_native(
    batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
) -> Theirs:
    n = batch.live["req"]
    builder = Builder(batch, before, device, CP, trtllm=False)
    shared = common(batch, given, given["block_table"][:n])
    found: list[Any] = []

    def call() -> None:
        found[:] = [builder.build(shared)]

    def read() -> Mapping[str, Any]:
        lists = dict(
            paged_kv_indptr=builder.fences.gpu,
            paged_kv_indices=builder.indices,
            paged_kv_last_page_len=builder.last.gpu,
        )
        if builder.told:
            lists["prefill_qo_indptr"] = builder.told["qo_indptr"]
        return lists | counts(found[0])

    return Theirs(call, read, captured=False)


def theirs_trtllm(
    batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
) -> Theirs:
    n = batch.live["req"]
    builder = Builder(batch, before, device, NOT_PARALLEL, trtllm=True)
    shared = common(batch, given, given["block_table"][:n])
    found: list[Any] = []

    def call() -> None:
        found[:] = [builder.build(shared)]

    def read() -> Mapping[str, Any]:
        (made,) = found
        results = counts(made)
        if made.num_decodes:
            # The engine puts the prompts' own fences over the later ones of all rows.
            decode = torch.arange(n + 1) < (made.num_decodes if made.num_prefills else n + 1)
            results |= dict(
                paged_kv_indptr=(builder.fences.gpu, decode),
                paged_kv_indices=builder.indices,
                paged_kv_last_page_len=builder.last.gpu,
            )
        if made.prefill is not None:
            results["prefill_qo_indptr"] = made.prefill.cum_seq_lens_q
            results["prefill_kv_indptr"] = made.prefill.cum_seq_lens_kv
        return results

    return Theirs(call, read, captured=False)


PARTS = (
    f"{BUILDER}:FlashInferMetadataBuilder.build",
    f"{BUILDER}:FlashInferMetadataBuilder._compute_flashinfer_kv_metadata",
    f"{UTILS}:split_decodes_and_prefills",
)
WIDTH = MOST // PAGE
PEERS = (
    Peer(
        name="vLLM FlashInfer step under context parallelism",
        engine="vllm",
        plan="vllm_flashinfer_mixed",
        replaces=(*PARTS, f"{UTILS}:get_dcp_local_seq_lens"),
        setup=Setup(lambda: declared(MOST, PROMPT, 1, CP), {"req": REQ, "page": WIDTH}),
        batches=lambda rng: steps(rng, WIDTH, 1),
        theirs=theirs_native,
        bench=lambda requests, query: bench(CP, 1, requests, query),
    ),
    Peer(
        name="vLLM FlashInfer step with TensorRT-LLM prefill",
        engine="vllm",
        plan="vllm_flashinfer_mixed",
        replaces=PARTS,
        setup=Setup(lambda: declared(MOST, PROMPT, 1 + DRAFTS, None), {"req": REQ, "page": WIDTH}),
        batches=lambda rng: steps(rng, WIDTH, 1 + DRAFTS),
        theirs=theirs_trtllm,
        bench=lambda requests, query: bench(None, 1 + DRAFTS, requests, query),
    ),
)
