# pyright: basic
"""MiniMax's sparse attention: SGLang's own decode plan, refreshed, beside one launch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from metaplan.plans.sglang_msa import sglang_msa
from tests.peers.engines import sglang
from tests.peers.peer import Batch, Peer, Setup, Tensors, Theirs
from tests.peers.sglang_parts import ROWS, SERVED, made, named, request_table, requests, served

REQ, POOL, LONGEST, SLOTS, PAGE = 5, 7, 2700, 1 << 14, 128
PLANS = "srt/layers/attention/minimax_sparse_ops/msa_plan.py"
KERNEL = "kernels/ops/attention/msa_v1/decode_plan.py"
Options = Mapping[str, Any]


def batches(options: Options) -> Callable[[np.random.Generator], Iterator[Batch]]:
    def steps(rng: np.random.Generator) -> Iterator[Batch]:
        for label, some in requests(rng, REQ, PAGE, LONGEST, POOL):
            n = len(some["seq_lens"])
            if not n:
                continue  # the engine's plan is made for at least one request
            table = request_table(rng, POOL, LONGEST, PAGE, SLOTS)
            yield Batch({**some, "req_to_token": table}, {"req": n}, label)

    return steps


def setup(options: Options, req: int, longest: int, states: int, slots: int) -> Setup:
    given: Any = dict(max_model_len=longest, states=states, slots=slots, **options)
    sizes = {"req": req, "state": states, "context": longest}
    if options.get("heads"):
        sizes["query_rows"] = req * options.get("query", 1)
    return Setup(lambda: sglang_msa(pages=-(-longest // PAGE), **given), sizes)


def bench(options: Options) -> Callable[[int, int], tuple[Setup, Batch]]:
    def at(count: int, query: int) -> tuple[Setup, Batch]:
        rng, own = np.random.default_rng(0), dict(options)
        if own.get("query", 1) > 1:
            own["query"] = max(query, 2)
        inputs = {**served(rng, count), "req_to_token": request_table(rng, ROWS, SERVED, PAGE)}
        batch = Batch(inputs, {"req": count}, extra=own)
        return setup(own, count, SERVED, ROWS, 1 << 20), batch

    return at


def refreshed(options: Options) -> Any:
    def theirs(
        batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
    ) -> Theirs:
        own = {**options, **batch.extra}
        n, query, heads = batch.live["req"], own.get("query", 1), own.get("heads", 0)
        chunks = -(-query // 16)

        def ints(*shape: int) -> torch.Tensor:
            return torch.zeros(shape, dtype=torch.int32, device=device)

        table, final = ints(n, -(-given["req_to_token"].shape[1] // PAGE)), ints(n)
        lengths = ints(heads, n * query) if heads else None
        attention = named(
            page_table=table,
            final_seq_lens=final,
            query_seq_lens=ints(n * query),
            fp8_attention=named(seq_lens=lengths) if heads else None,
        )
        plan = made(
            sglang().module(PLANS).MSAV1DecodeIndexerPlan,
            use_cuda_graph=True,
            page_table=table,
            final_seq_lens=final,
            query_length=query,
            _chunk_seq_lens_buffer=ints(chunks, n),
            shared_plans=(),
        )

        def call() -> None:
            plan.refresh(
                attention_plan=attention,
                req_to_token=given["req_to_token"],
                req_pool_indices=given["req_pool_indices"],
                seq_lens=given["seq_lens"],
                is_target_verify=not own.get("counted", True),
            )

        def read() -> Mapping[str, Any]:
            said = dict(
                page_table=table,
                final_seq_lens=final,
                query_seq_lens=attention.query_seq_lens.view(n, query),
            )
            for at, row in enumerate(plan._chunk_seq_lens_buffer):
                said[f"chunk_seq_lens_{at}"] = row
            return said if lengths is None else {**said, "flashinfer_seq_lens": lengths}

        return Theirs(call, read)

    return theirs


def peer(name: str, **options: Any) -> Peer:
    return Peer(
        name=name,
        engine="sglang",
        plan="sglang_msa",
        replaces=(
            f"{PLANS}:MSAV1DecodeIndexerPlan.refresh",
            f"{KERNEL}:update_msa_v1_decode_plan",
        ),
        setup=setup(options, REQ, LONGEST, POOL, SLOTS),
        batches=batches(options),
        theirs=refreshed(options),
        bench=bench(options),
    )


PEERS = (
    peer("SGLang MSA decode"),
    peer("SGLang MSA verify with FP8 attention", query=4, counted=False, heads=2),
    peer("SGLang MSA verify in two chunks", query=18, counted=False, heads=1),
)
