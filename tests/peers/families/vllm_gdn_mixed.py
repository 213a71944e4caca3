# pyright: basic
"""Linear attention where some requests verify drafts and others bring prompts: vLLM's GDN builder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from metaplan.plans.vllm_mamba import vllm_gdn_mixed
from tests.peers.batches import table
from tests.peers.families.vllm_mamba import GDN, UTILS, gdn_builder
from tests.peers.peer import Batch, Peer, Setup, Tensors, Theirs
from tests.peers.vllm_batch import Rows, build_all, ragged, served

REQ, DRAFTS, CHUNK, MODEL_LEN, SERVED = 6, 3, 150, 512, 32768


def mixed(rng: np.random.Generator, rows: Rows, drafts: int, chunk: int) -> Batch:
    """``rows`` verify drafts, but for those with more tokens, and for some that have drafted nothing."""
    n = rows.count
    prompt = rng.random(n) < 0.4
    prompt[rng.integers(0, n)] = True
    if prompt.all() and n > 1:
        prompt[0] = False
    lens = np.where(
        prompt, np.minimum(rng.integers(1, chunk + 1, n), rows.seq_lens), rows.query_lens
    )
    rows = replace(rows, query_lens=lens.astype(np.int32))
    return mixed_batch(rng, rows, prompt, drafts)


def mixed_batch(rng: np.random.Generator, rows: Rows, prompt: np.ndarray, drafts: int) -> Batch:
    n = rows.count
    inputs = dict(
        num_drafts=np.where(prompt, -1, rows.query_lens - 1).astype(np.int32),
        query_start_loc=rows.starts,
        seq_lens=rows.seq_lens,
        num_accepted=rng.integers(1, drafts + 2, n).astype(np.int32),
        block_table=table(rng, n, drafts + 1),
    )
    return Batch(inputs, {"req": n}, rows.label, dict(rows=rows, drafts=drafts))


def mixed_theirs(
    batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
) -> Theirs:
    rows, drafts = batch.extra["rows"], batch.extra["drafts"]
    empty = {"spec_state_indices_0": torch.zeros(1, drafts + 1, device=device)}
    empty["spec_token_indx"] = torch.zeros(1, device=device)
    builder = gdn_builder(GDN, "GDNAttentionMetadataBuilder", empty, 0, drafts, device)
    builder.__dict__.update(
        kv_cache_spec=None,
        vllm_config=SimpleNamespace(cache_config=SimpleNamespace(mamba_cache_mode="none")),
    )
    drafted = torch.from_numpy(np.asarray(batch.inputs["num_drafts"]))
    slots = torch.zeros(rows.tokens, dtype=torch.int64, device=device)
    found: dict[str, Any] = {}

    def call() -> None:
        (step,) = build_all(
            rows,
            [builder],
            given,
            block_tables=[given["block_table"]],
            slot_mappings=[slots],
            extra=dict(
                num_accepted_tokens=given["num_accepted"], num_decode_draft_tokens_cpu=drafted
            ),
        )
        found.update(
            spec_sequence_masks=step.spec_sequence_masks,
            spec_query_start_loc=step.spec_query_start_loc,
            spec_token_indx=step.spec_token_indx,
            spec_state_indices=step.spec_state_indices_tensor,
            num_accepted_tokens=step.num_accepted_tokens,
            non_spec_query_start_loc=step.non_spec_query_start_loc,
            non_spec_token_indx=step.non_spec_token_indx,
            non_spec_state_indices=step.non_spec_state_indices_tensor,
            has_initial_state=step.has_initial_state,
            batch_ptr=step.batch_ptr,
            token_chunk_offset_ptr=step.token_chunk_offset_ptr,
            chunk_indices=step.chunk_indices,
            chunk_offsets=step.chunk_offsets,
        )

    return Theirs(call, lambda: found, captured=False)


def mixed_setup(requests: int, drafts: int, tokens: int, chunk: int, model_len: int) -> Setup:
    of: Any = dict(drafts=drafts, max_tokens=chunk, max_model_len=model_len)
    sizes = {"req": requests, "spec_tok": tokens, "rest_tok": tokens, "conv": 2048}
    return Setup(lambda: vllm_gdn_mixed(**of), {**sizes, "chunk": requests * -(-chunk // 64)})


def mixed_batches(rng: np.random.Generator) -> Iterator[Batch]:
    for rows in ragged(rng, REQ, DRAFTS + 1, MODEL_LEN):
        # With padding rows, and with one request, the engine takes a path without drafts.
        if rows.count > 1 and rows.query_lens.min() > 0:
            yield mixed(rng, rows, DRAFTS, CHUNK)


def mixed_bench(requests: int, query: int) -> tuple[Setup, Batch]:
    """One request in sixteen is a prompt chunk of 64 tokens."""
    requests, drafts = max(requests, 2), max(query - 1, 1)
    rows, prompt = served(requests, query), np.arange(requests) % 16 == 15
    prompt[-1] = True
    rows.query_lens[prompt] = 64
    batch = mixed_batch(np.random.default_rng(0), rows, prompt, drafts)
    return mixed_setup(requests, drafts, rows.tokens, 64, SERVED), batch


PEERS = (
    Peer(
        name="vLLM GDN drafts beside prompts",
        engine="vllm",
        plan="vllm_gdn_mixed",
        replaces=(
            f"{GDN}:GDNAttentionMetadataBuilder.build",
            f"{UTILS}:compute_causal_conv1d_metadata",
            "third_party/flash_linear_attention/ops/index.py:prepare_chunk_indices",
            "third_party/flash_linear_attention/ops/index.py:prepare_chunk_offsets",
        ),
        setup=mixed_setup(REQ, DRAFTS, REQ * CHUNK, CHUNK, MODEL_LEN),
        batches=mixed_batches,
        theirs=mixed_theirs,
        bench=mixed_bench,
    ),
)
