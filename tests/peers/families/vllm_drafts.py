# pyright: basic
"""V2 drafters: the functions that fill the drafter's buffers, beside one launch each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from metaplan.plans.engine_step import Interleave
from metaplan.plans.vllm_drafts import vllm_dflash, vllm_draft_decode, vllm_draft_prefill
from tests.peers.batches import table
from tests.peers.engines import vllm
from tests.peers.peer import Batch, Peer, Setup, Tensors, Theirs
from tests.peers.vllm_batch import Rows, served, verified

PAGE, REQ, STATES, DRAFTS, CHUNK, MODEL_LEN = 16, 6, 9, 3, 40, 320
TOKENS, SERVED, VOCABULARY = REQ * CHUNK, 32768, 1000
AR = "v1/worker/gpu/spec_decode/target_dependent_ar/speculator.py"
DFLASH = "v1/worker/gpu/spec_decode/dflash/speculator.py"


def tables(rng: np.random.Generator, rows: Rows, states: int, rejected: np.ndarray) -> dict:
    """What both kinds of drafters read, by the names of our inputs."""
    n = rows.count
    sampled = np.where(rng.random(n) < 0.3, 0, rows.query_lens - rejected).clip(0, DRAFTS + 1)
    return dict(
        idx_mapping=rng.permutation(states)[:n].astype(np.int64),
        num_sampled=sampled.astype(np.int32),
        num_rejected=rejected,
        target_positions=rows.positions,
        last_sampled=rng.integers(0, VOCABULARY, states).astype(np.int64),
        next_prefill_tokens=rng.integers(0, VOCABULARY, states).astype(np.int32),
    )


def served_rejected(requests: int, query: int) -> tuple[Rows, np.ndarray]:
    rejected = np.random.default_rng(1).integers(0, query, requests)
    return served(requests, query), rejected.astype(np.int32)


def input_batch(rows: Rows, given: Tensors, starts: str = "query_start_loc") -> Any:
    return SimpleNamespace(
        num_reqs=rows.count,
        num_scheduled_tokens=rows.query_lens,
        input_ids=given.get("target_tokens"),
        positions=given["target_positions"],
        idx_mapping=given["idx_mapping"],
        query_start_loc=given[starts],
        seq_lens=given.get("seq_lens"),
    )


# ------------------------------------------------------------ autoregressive: the first pass


def prefill_batch(rng: np.random.Generator, rows: Rows, rejected: np.ndarray, states: int) -> Batch:
    tokens = rng.integers(0, VOCABULARY, rows.tokens).astype(np.int32)
    inputs = tables(rng, rows, states, rejected)
    inputs |= dict(query_start_loc=rows.starts, seq_lens=rows.seq_lens, target_tokens=tokens)
    return Batch(inputs, {"req": rows.count}, rows.label, {"rows": rows})


def prefill_theirs(
    batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
) -> Theirs:
    module, made = vllm().module(AR), {n: b.clone() for n, b in before.items()}
    buffers = SimpleNamespace(
        input_ids=made["input_ids"],
        positions=made["positions"],
        query_start_loc=made["draft_query_start_loc"],
        seq_lens=made["draft_seq_lens"],
    )
    step = input_batch(batch.extra["rows"], given)

    def call() -> None:
        module.prepare_prefill_inputs(
            made["last_token_indices"],
            made["current_draft_step"],
            buffers,
            step,
            given["num_sampled"],
            given["num_rejected"],
            given["last_sampled"],
            given["next_prefill_tokens"],
            len(made["draft_seq_lens"]),
        )

    return Theirs(call, lambda: made)


def prefill_bench(requests: int, query: int) -> tuple[Setup, Batch]:
    rows, rejected = served_rejected(requests, query)
    batch = prefill_batch(np.random.default_rng(0), rows, rejected, requests)
    sizes = {"req": requests, "tok": rows.tokens, "token": rows.tokens, "state": requests}
    return Setup(
        lambda: vllm_draft_prefill(
            drafts=max(query - 1, 1), max_tokens=max(query, 2), states=requests
        ),
        sizes,
    ), batch


# ------------------------------------------------------------ autoregressive: one token a request


def decode_batches(rng: np.random.Generator) -> Iterator[Batch]:
    for rows, rejected in verified(rng, REQ, DRAFTS, CHUNK, MODEL_LEN - 1):
        yield decode_batch(rng, rows, rejected, TOKENS, DRAFTS, MODEL_LEN)


def decode_batch(
    rng: np.random.Generator,
    rows: Rows,
    rejected: np.ndarray,
    tokens: int,
    drafts: int,
    model_len: int,
) -> Batch:
    positions = rng.integers(0, model_len, tokens)
    positions[: rows.count : 3] = model_len - 1
    inputs = dict(
        draft_tokens=rng.integers(0, VOCABULARY, (rows.count, drafts)).astype(np.int64),
        target_seq_lens=rows.seq_lens,
        num_rejected=rejected,
        positions=positions.astype(np.int64),
        sample_src_positions=rng.integers(0, model_len, rows.count).astype(np.int64),
    )
    return Batch(inputs, {"req": rows.count}, rows.label, {"model_len": model_len})


def decode_theirs(
    batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
) -> Theirs:
    module, made = vllm().module(AR), {n: b.clone() for n, b in before.items()}
    made |= {n: given[n] for n in ("positions", "sample_src_positions")}
    buffers = SimpleNamespace(**{n: made[n] for n in made if n != "sample_src_positions"})

    def call() -> None:
        module.prepare_decode_inputs(
            given["draft_tokens"],
            given["target_seq_lens"],
            given["num_rejected"],
            buffers,
            given["sample_src_positions"],
            batch.extra["model_len"],
            len(made["seq_lens"]),
        )

    return Theirs(call, lambda: made)


def decode_bench(requests: int, query: int) -> tuple[Setup, Batch]:
    rows, rejected = served_rejected(requests, query)
    drafts, rng = max(query - 1, 1), np.random.default_rng(0)
    batch = decode_batch(rng, rows, rejected, rows.tokens, drafts, SERVED)
    setup = Setup(
        lambda: vllm_draft_decode(drafts=drafts, max_model_len=SERVED),
        {"req": requests, "token": rows.tokens},
    )
    return setup, batch


# ------------------------------------------------------------ DFlash and DSpark


def dflash_batch(
    rng: np.random.Generator, rows: Rows, rejected: np.ndarray, states: int, width: int, **of: Any
) -> Batch:
    pages = table(rng, rows.count, width)
    pages[rng.random(pages.shape) < 0.1] = 0  # pages that left a sliding window
    inputs = tables(rng, rows, states, rejected)
    inputs |= dict(target_query_start_loc=rows.starts, block_table=pages)
    return Batch(inputs, {"req": rows.count}, rows.label, {"rows": rows, **of})


def dflash_theirs(
    batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
) -> Theirs:
    module, made = vllm().module(DFLASH), {n: b.clone() for n, b in before.items()}
    of, n = batch.extra, len(before["seq_lens"])
    states = len(given["last_sampled"])
    split = of["interleave"] or Interleave()
    flat = {name: made[name].view(-1) for name in made}
    names = ("input_ids", "positions", "is_padding", "query_start_loc", "seq_lens")
    buffers = SimpleNamespace(**{name: flat[name] for name in names})
    temperature = torch.zeros(2, states, device=device)
    seeds = torch.zeros(2, states, dtype=torch.int64, device=device)
    step = input_batch(of["rows"], given, "target_query_start_loc")

    def call() -> None:
        module.prepare_dflash_inputs(
            buffers,
            flat["query_slot_mapping"],
            flat["context_positions"],
            flat["context_slot_mapping"],
            flat["sample_indices"],
            flat["sample_pos"],
            flat["sample_idx_mapping"],
            temperature[0],
            seeds[0],
            step,
            given["num_sampled"],
            given["num_rejected"],
            given["last_sampled"],
            given["next_prefill_tokens"],
            temperature[1],
            seeds[1],
            given["block_table"],
            PAGE,
            split.rank,
            split.size,
            split.run,
            VOCABULARY,
            of["query"],
            of["drafts"],
            n,
            len(flat["input_ids"]),
            of["model_len"],
            sample_from_anchor=of["from_anchor"],
        )

    return Theirs(call, lambda: made)


def dflash_peer(name: str, from_anchor: bool, interleave: Interleave | None) -> Peer:
    size = 1 if interleave is None else interleave.size

    def of(drafts: int) -> dict[str, Any]:
        query = drafts + (not from_anchor)
        return dict(drafts=drafts, query=query, from_anchor=from_anchor, interleave=interleave)

    def setup(drafts: int, model_len: int, tokens: int, sizes: dict[str, int]) -> Setup:
        made: Any = dict(max_model_len=model_len, max_tokens=tokens, states=sizes["state"])
        return Setup(lambda: vllm_dflash(**of(drafts), **made, mask_token=VOCABULARY), sizes)

    def batches(rng: np.random.Generator) -> Iterator[Batch]:
        for rows, rejected in verified(rng, REQ, DRAFTS, CHUNK, MODEL_LEN - 1):
            fields = of(DRAFTS) | {"model_len": MODEL_LEN}
            yield dflash_batch(rng, rows, rejected, STATES, MODEL_LEN // (PAGE * size), **fields)

    def bench(requests: int, query: int) -> tuple[Setup, Batch]:
        rows, rejected = served_rejected(requests, query)
        drafts, width = max(query - 1, 1), SERVED // (PAGE * size)
        fields = of(drafts) | {"model_len": SERVED}
        sizes = {"req": requests, "tok": rows.tokens, "token": rows.tokens, "state": requests}
        rng = np.random.default_rng(0)
        batch = dflash_batch(rng, rows, rejected, requests, width, **fields)
        return setup(drafts, SERVED, query, sizes), batch

    sizes = {"req": REQ, "tok": TOKENS, "token": TOKENS, "state": STATES}
    return Peer(
        name=name,
        engine="vllm",
        plan="vllm_dflash",
        replaces=(f"{DFLASH}:prepare_dflash_inputs", f"{DFLASH}:_prepare_dflash_inputs_kernel"),
        setup=setup(DRAFTS, MODEL_LEN, CHUNK, sizes),
        batches=batches,
        theirs=dflash_theirs,
        bench=bench,
    )


def prefill_batches(rng: np.random.Generator) -> Iterator[Batch]:
    for rows, rejected in verified(rng, REQ, DRAFTS, CHUNK, MODEL_LEN - 1):
        yield prefill_batch(rng, rows, rejected, STATES)


PEERS = (
    Peer(
        name="vLLM draft prefill inputs",
        engine="vllm",
        plan="vllm_draft_prefill",
        replaces=(f"{AR}:prepare_prefill_inputs", f"{AR}:_prepare_prefill_inputs_kernel"),
        setup=Setup(
            lambda: vllm_draft_prefill(drafts=DRAFTS, max_tokens=CHUNK, states=STATES),
            {"req": REQ, "tok": TOKENS, "token": TOKENS, "state": STATES},
        ),
        batches=prefill_batches,
        theirs=prefill_theirs,
        bench=prefill_bench,
    ),
    Peer(
        name="vLLM draft decode inputs",
        engine="vllm",
        plan="vllm_draft_decode",
        replaces=(f"{AR}:prepare_decode_inputs", f"{AR}:_prepare_decode_inputs_kernel"),
        setup=Setup(
            lambda: vllm_draft_decode(drafts=DRAFTS, max_model_len=MODEL_LEN),
            {"req": REQ, "token": TOKENS},
        ),
        batches=decode_batches,
        theirs=decode_theirs,
        bench=decode_bench,
    ),
    dflash_peer("vLLM DFlash inputs", False, None),
    dflash_peer("vLLM DSpark inputs", True, None),
    dflash_peer("vLLM DFlash inputs, interleaved", False, Interleave(2, 1, 4)),
)
