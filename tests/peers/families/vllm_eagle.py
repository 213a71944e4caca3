# pyright: basic
"""V1 drafters: the proposer's own methods between the target's sample and the drafter's first pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from metaplan.lang.plan import Plan
from metaplan.plans.vllm_eagle import (
    vllm_eagle,
    vllm_eagle_step,
    vllm_parallel_drafts,
    vllm_spec_logits,
)
from tests.peers.batches import table
from tests.peers.engines import vllm
from tests.peers.peer import Batch, Peer, Setup, Tensors, Theirs
from tests.peers.vllm_batch import HostBuffer, Rows, metadata, served, uniform, verified

PAGE, REQ, DRAFTS, CHUNK, MODEL_LEN = 16, 6, 3, 40, 320
VOCABULARY, SERVED = 1000, 32768
PROPOSER = "v1/spec_decode/llm_base_proposer.py"
UTILS = "v1/spec_decode/utils.py"
RUNNER = "v1/worker/gpu_model_runner.py"
MASK_TOKEN = 7


def proposer() -> Any:
    return vllm().module(PROPOSER).SpecDecodeBaseProposer


# ------------------------------------------------------------ the first pass


def first_pass(
    rng: np.random.Generator, rows: Rows, rejected: np.ndarray, drafts: int, **of: Any
) -> Batch:
    """A verified step: what the target sampled for each row, -1 behind the last accepted token."""
    n, num_drafts = rows.count, np.where(rows.query_lens > drafts + 1, 0, rows.query_lens - 1)
    sampled = rng.integers(0, VOCABULARY, (n, drafts + 1)).astype(np.int32)
    sampled[np.arange(drafts + 1) > (num_drafts - rejected)[:, None]] = -1
    prompt = (num_drafts == 0) & (rng.random(n) < 0.5)
    odd = ~prompt & (num_drafts == 0) & (rng.random(n) < 0.5)
    sampled[odd, 0] = VOCABULARY
    inputs = dict(
        sampled=sampled,
        discarded=prompt,
        backup_tokens=rng.integers(0, VOCABULARY, n).astype(np.int32),
        cu_num_drafts=np.cumsum(num_drafts).astype(np.int32),
        query_start_loc=rows.starts,
        target_tokens=rng.integers(0, VOCABULARY, rows.tokens).astype(np.int32),
        target_positions=rows.positions,
    )
    if of["slots"]:
        pages = table(rng, n, of["model_len"] // PAGE)
        inputs |= dict(seq_lens=rows.seq_lens, block_table=pages)
    return Batch(inputs, {"req": n}, rows.label, {"rows": rows, **of})


def first_pass_theirs(
    batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
) -> Theirs:
    rows, of, cls = batch.extra["rows"], batch.extra, proposer()
    n, slots, shift = rows.count, of["slots"], of["shift"]
    hidden = torch.zeros(rows.tokens, 1, device=device)
    me: Any = SimpleNamespace(
        backup_next_token_ids=HostBuffer(n, device),
        use_heterogeneous_vocab=False,
        needs_extra_input_slots=slots - shift > 0,
        net_num_new_slots_per_request=slots - shift,
        extra_slots_per_request=slots,
        pass_hidden_states_to_model=shift,
        parallel_drafting_token_id=MASK_TOKEN,
        parallel_drafting_hidden_state_tensor=torch.zeros(1, device=device),
        input_ids=before["input_ids"].clone(),
        positions=before["positions"].clone(),
        hidden_states=torch.zeros(len(before["input_ids"]), 1, device=device),
        device=device,
        block_size=PAGE,
        max_model_len=of["model_len"],
        uses_mrope=False,
        vllm_config=SimpleNamespace(model_config=SimpleNamespace(uses_mrope=False)),
        arange=torch.arange(n + 1, dtype=torch.int32, device=device),
    )
    me._set_positions = lambda *a: cls._set_positions(me, *a)
    for name in ("is_rejected_token_mask", "is_masked_token_mask"):
        setattr(me, name, before[name].clone() if name in before else None)
    backup = batch.inputs["backup_tokens"]
    requests = {i: SimpleNamespace(get_token_id=lambda _, i=i: int(backup[i])) for i in range(n)}
    scheduled = SimpleNamespace(
        num_reqs=n,
        req_ids=list(range(n)),
        num_tokens_no_spec=rows.seq_lens,
        vocab_size=VOCABULARY,
    )
    drafted = SimpleNamespace(cu_num_draft_tokens=given["cu_num_drafts"])
    slot_mapping = torch.zeros(rows.tokens, dtype=torch.int64, device=device)
    seq_lens = torch.from_numpy(rows.seq_lens).to(device)
    shared = metadata(rows, given, seq_lens=seq_lens, slot_mapping=slot_mapping)
    found: dict[str, Any] = {}

    def call() -> None:
        token, count = cls.prepare_next_token_ids_padded(
            me, given["sampled"], requests, scheduled, given["discarded"]
        )
        padded, at, rejected = cls.prepare_inputs_padded(me, shared, drafted, count)
        total, at, new = cls.set_inputs_first_pass(
            me,
            given["target_tokens"],
            token,
            given["target_positions"],
            hidden,
            None if slots else at,
            padded,
            rejected,
        )
        found.update(
            next_token_ids=token,
            valid_sampled_tokens_count=count,
            num_rejected_tokens=rejected,
            token_indices_to_sample=at.view(n, slots) if slots else at,
            input_ids=me.input_ids,
            positions=me.positions,
        )
        if slots:
            found.update(
                is_rejected_token_mask=me.is_rejected_token_mask[:total],
                is_masked_token_mask=me.is_masked_token_mask[:total],
                slot_mapping=new.slot_mapping,
                draft_query_start_loc=new.query_start_loc,
                draft_seq_lens=new.seq_lens,
            )

    return Theirs(call, lambda: found, captured=False)


def first_pass_peer(name: str, plan: str, slots: int, shift: bool) -> Peer:
    def declared(drafts: int, asked: int, model_len: int, chunk: int) -> Plan:
        of: Any = dict(
            drafts=drafts, max_model_len=model_len, max_tokens=chunk, vocabulary=VOCABULARY
        )
        if not asked:
            return vllm_eagle(**of)
        return vllm_parallel_drafts(
            **of, slots=asked, shift=shift, page=PAGE, mask_token=MASK_TOKEN
        )

    def batches(rng: np.random.Generator) -> Iterator[Batch]:
        of = dict(slots=slots, shift=shift, model_len=MODEL_LEN)
        for rows, rejected in verified(rng, REQ, DRAFTS, CHUNK, MODEL_LEN - 1):
            yield first_pass(rng, rows, rejected, DRAFTS, **of)

    def bench(requests: int, query: int) -> tuple[Setup, Batch]:
        rows, drafts = served(requests, query), max(query - 1, 2)
        asked = drafts if slots > 1 else slots
        rejected = np.random.default_rng(1).integers(0, query, requests)
        of = dict(slots=asked, shift=shift, model_len=SERVED)
        batch = first_pass(np.random.default_rng(0), rows, rejected, drafts, **of)
        sizes = {"req": requests, "tok": rows.tokens, "token": rows.tokens}
        sizes |= {"page": SERVED // PAGE} if slots else {}
        return Setup(lambda: declared(drafts, asked, SERVED, query), sizes), batch

    replaces = [
        f"{PROPOSER}:SpecDecodeBaseProposer.prepare_next_token_ids_padded",
        f"{PROPOSER}:SpecDecodeBaseProposer.prepare_inputs_padded",
        f"{PROPOSER}:SpecDecodeBaseProposer.set_inputs_first_pass",
        f"{UTILS}:eagle_prepare_next_token_padded_kernel",
        f"{UTILS}:eagle_prepare_inputs_padded_kernel",
    ]
    sizes = {"req": REQ, "tok": REQ * CHUNK, "token": REQ * CHUNK}
    if slots:
        sizes["page"] = MODEL_LEN // PAGE
        replaces += [
            f"{UTILS}:copy_and_expand_eagle_inputs_kernel",
            f"{UTILS}:compute_new_slot_mapping",
            f"{UTILS}:extend_all_queries_by_N",
        ]
    return Peer(
        name=name,
        engine="vllm",
        plan=plan,
        replaces=tuple(replaces),
        setup=Setup(lambda: declared(DRAFTS, slots, MODEL_LEN, CHUNK), sizes),
        batches=batches,
        theirs=first_pass_theirs,
        bench=bench,
    )


# ------------------------------------------------------------ one step more


def step(rng: np.random.Generator, rows: Rows, width: int, padded: int, model_len: int) -> Batch:
    inputs = dict(
        last_positions=(rows.seq_lens - 1).astype(np.int64),
        block_table=table(rng, rows.count, width),
        seq_lens=rows.seq_lens,
        padded_reqs=padded,
    )
    return Batch(inputs, {"req": rows.count}, rows.label, {"rows": rows, "model_len": model_len})


def step_batches(rng: np.random.Generator) -> Iterator[Batch]:
    for rows in uniform(rng, REQ - 2, 1, MODEL_LEN):
        padded = int(rng.integers(rows.count, REQ + 1))
        yield step(rng, rows, MODEL_LEN // PAGE, padded, MODEL_LEN)


def step_theirs(
    batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
) -> Theirs:
    rows, padded = batch.extra["rows"], int(batch.inputs["padded_reqs"])
    made = {n: b.clone() for n, b in before.items()}
    me: Any = SimpleNamespace(
        uses_mrope=False,
        positions=made["positions"],
        _slot_mapping_buffer=made["slot_mapping"],
        max_model_len=batch.extra["model_len"],
    )
    shared = metadata(rows, given, seq_lens_cpu_upper_bound=None)

    def call() -> None:
        proposer()._update_positions_dependent_metadata(
            me, given["last_positions"], shared, rows.count, padded, PAGE
        )

    return Theirs(call, lambda: made | {"seq_lens": given["seq_lens"]})


def step_bench(requests: int, query: int) -> tuple[Setup, Batch]:
    width, rng = SERVED // PAGE, np.random.default_rng(0)
    batch = step(rng, served(requests, 1), width, requests, SERVED)
    plan = lambda: vllm_eagle_step(page=PAGE, max_model_len=SERVED)  # noqa: E731
    return Setup(plan, {"req": requests, "page": width}), batch


# ------------------------------------------------------------ what is verified


def logits(rng: np.random.Generator, rows: Rows, drafts: int) -> Batch:
    prompt = rows.query_lens > drafts + 1
    inputs = dict(
        num_drafts=np.where(prompt, 0, rows.query_lens - 1).astype(np.int32),
        num_scheduled=rows.query_lens,
        token_ids=rng.integers(0, VOCABULARY, rows.tokens).astype(np.int32),
    )
    return Batch(inputs, {"req": rows.count}, rows.label, {"rows": rows})


def logits_batches(rng: np.random.Generator) -> Iterator[Batch]:
    for rows, _ in verified(rng, REQ, DRAFTS, CHUNK, MODEL_LEN - 1):
        yield logits(rng, rows, DRAFTS)


def logits_theirs(
    batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
) -> Theirs:
    rows, cls = batch.extra["rows"], vllm().module(RUNNER).GPUModelRunner
    most = max(rows.tokens, 2 * rows.count) + 1
    me: Any = SimpleNamespace(
        arange_np=np.arange(most, dtype=np.int64),
        _arange_scratch=np.zeros(most, np.int64),
        input_ids=SimpleNamespace(gpu=given["token_ids"]),
        device=device,
    )
    me._get_cumsum_and_arange = lambda *a, **k: cls._get_cumsum_and_arange(me, *a, **k)
    num_drafts, found = np.asarray(batch.inputs["num_drafts"]), {}

    def call() -> None:
        step = cls._calc_spec_decode_metadata(me, num_drafts, rows.starts[1:])
        found.update({n: getattr(step, n) for n in before})

    return Theirs(call, lambda: found, captured=False)


def logits_bench(requests: int, query: int) -> tuple[Setup, Batch]:
    rows, drafts = served(requests, query), max(query - 1, 2)
    plan = lambda: vllm_spec_logits(drafts=drafts, max_tokens=query)  # noqa: E731
    batch = logits(np.random.default_rng(0), rows, drafts)
    return Setup(plan, {"req": requests, "token": rows.tokens}), batch


PEERS = (
    Peer(
        name="vLLM logits of drafts",
        engine="vllm",
        plan="vllm_spec_logits",
        replaces=(f"{RUNNER}:GPUModelRunner._calc_spec_decode_metadata",),
        setup=Setup(
            lambda: vllm_spec_logits(drafts=DRAFTS, max_tokens=CHUNK, vocabulary=VOCABULARY),
            {"req": REQ, "token": REQ * CHUNK},
        ),
        batches=logits_batches,
        theirs=logits_theirs,
        bench=logits_bench,
    ),
    first_pass_peer("vLLM EAGLE first pass", "vllm_eagle", 0, True),
    first_pass_peer("vLLM parallel drafts", "vllm_parallel_drafts", DRAFTS, True),
    first_pass_peer("vLLM draft model first pass", "vllm_parallel_drafts", 1, False),
    Peer(
        name="vLLM EAGLE step",
        engine="vllm",
        plan="vllm_eagle_step",
        replaces=(
            f"{PROPOSER}:SpecDecodeBaseProposer._update_positions_dependent_metadata",
            f"{UTILS}:eagle_step_slot_mapping_metadata_kernel",
        ),
        setup=Setup(
            lambda: vllm_eagle_step(page=PAGE, max_model_len=MODEL_LEN),
            {"req": REQ, "page": MODEL_LEN // PAGE},
        ),
        batches=step_batches,
        theirs=step_theirs,
        bench=step_bench,
    ),
)
