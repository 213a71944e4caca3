# pyright: basic
"""Between an EAGLE draft and its target: SGLang's own worker beside one launch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from metaplan.plans.sglang_eagle import sglang_eagle_verify, sglang_extend_locs
from tests.peers.as_cuda import as_cuda
from tests.peers.engines import sglang
from tests.peers.peer import Batch, Peer, Setup, Tensors, Theirs
from tests.peers.sglang_eagle_parts import (
    CACHE_LOCS,
    EAGLE,
    KINDS,
    LONGEST,
    POOL,
    READER,
    REQ,
    SLOTS,
    WORDS,
    WORKER,
    Named,
    batches,
    benched,
    model,
    places,
    reader,
    scheduled,
    small,
    worker,
)
from tests.peers.sglang_parts import ROWS, SERVED, named, nothing, request_table, served

WIDE = "kernels/ops/speculative/multi_layer_eagle.py"
PAGE, FRONT, MOST = 16, 5, 5
SETUP: dict[str, Any] = dict(max_model_len=LONGEST, states=POOL, slots=SLOTS, vocabulary=WORDS)


def drafted(rng: np.random.Generator, n: int, drafts: int = 3) -> Named:
    return dict(
        bonus_tokens=rng.integers(0, WORDS, n).astype(np.int32),
        draft_tokens=rng.integers(0, WORDS, (n, drafts)),
    )


def unified(rng: np.random.Generator, n: int) -> Named:
    """With the tables of a pool whose sliding part knows only half of the pages."""
    return {
        **drafted(rng, n),
        "full_v2p": places(rng, SLOTS // PAGE),
        "swa_v2p": places(rng, SLOTS // PAGE // 2),
        "stash_valid_lens": rng.integers(0, FRONT + 2, POOL).astype(np.int32),
    }


def chain_tensors(tokens: Any, n: int, **more: Any) -> Named:
    """What the target reads, by the names of our outputs."""
    width = tokens.draft_token.numel() // n
    said = dict(
        tokens=tokens.draft_token,
        positions=tokens.positions,
        retrieve_index=tokens.retrieve_index,
        retrieve_next_token=tokens.retrieve_next_token,
        retrieve_next_sibling=tokens.retrieve_next_sibling,
        out_cache_loc=tokens.prepared_out_cache_loc,
    )
    said = {k: v.view(n, width) for k, v in said.items()}
    return {**said, "tree_mask": tokens.custom_mask.view(n * width, width), **more}


def verify_chain(
    batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
) -> Theirs:
    n, drafts = given["draft_tokens"].shape
    module, runner, found = worker(), model(mrope=True), named()
    step = scheduled(batch, given, device)
    qlen = module.TreeMaskMode.QLEN_ONLY
    runner.attn_backend = named(verify_mask=None)
    target, idle = named(model_runner=runner), named(is_idle=lambda: False)

    def call() -> None:
        step.forward_mode = idle
        with as_cuda(device):
            found.tree = module.build_eagle_verify_input(
                step,
                named(bonus_tokens=given["bonus_tokens"]),
                None,
                None,
                given["draft_tokens"],
                None,
                target_worker=target,
                topk=1,
                num_steps=drafts,
                num_draft_tokens=drafts + 1,
                tree_mask_mode=qlen,
                device=device,
            )
            found.extend = module.prepare_for_draft_extend(
                named(num_front_tokens=0, positions=None, hidden_states=None),
                step,
                found.tree.draft_token,
                drafts + 1,
                runner,
                None,
                return_hidden_states_before_norm=False,
            )

    def read() -> Mapping[str, Any]:
        positions, starts, _ = found.extend.extend_position_info
        rope = found.tree.prepared_mrope_positions.view(3, n, drafts + 1)
        return chain_tensors(
            found.tree,
            n,
            extend_prefix_lens=step.prefix_lens,
            extend_lens=step.extend_lens,
            extend_seq_lens=found.extend.seq_lens,
            extend_start_locs=starts,
            extend_positions=positions.view(n, drafts + 1),
            **{f"mrope_positions_{at}": row for at, row in enumerate(rope)},
        )

    return Theirs(call, read)


def verify_unified(
    batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
) -> Theirs:
    n, drafts = given["draft_tokens"].shape
    module, runner, found = worker(), model(mrope=False), named()
    wide = sglang().module(WIDE)
    step, pool = scheduled(batch, given, device, PAGE), reader(given, PAGE)
    kinds = sglang().module(KINDS)
    for kind, space in pool._spaces.items():
        pool._spaces[kind] = kinds.IdSpace(key=space.key, write=nothing, read_v2p=space.read_v2p)
    shape = (n, drafts + 1)
    positions = torch.zeros(shape, dtype=torch.int64, device=device)
    ids = torch.zeros(shape, dtype=torch.int64, device=device)
    idle = named(is_idle=lambda: False)

    def call() -> None:
        step.forward_mode = idle
        with as_cuda(device):
            found.plan = pool.plan_uniform_extend(
                req_pool_indices=given["req_pool_indices"],
                seq_lens=given["seq_lens"],
                seq_lens_cpu=None,
                width=drafts + 1,
                positions_out=positions,
                anchor_src=given["bonus_tokens"],
                anchor_out=ids,
            )
            found.locs, found.at = wide.compute_widened_draft_extend_locs_positions_triton(
                given["seq_lens"],
                given["req_pool_indices"],
                given["req_to_token"],
                given["stash_valid_lens"],
                drafts + 1,
                FRONT,
                1,
            )
            found.extend = module.prepare_for_draft_extend(
                named(num_front_tokens=FRONT, hidden_states=None),
                step,
                ids.view(-1),
                drafts + 1,
                runner,
                None,
                return_hidden_states_before_norm=False,
                widened_out_cache_loc=found.locs,
                widened_positions=found.at,
            )

    def read() -> Mapping[str, Any]:
        kind = kinds.IdSpaceKind
        return dict(
            tokens=ids[:, :1],
            positions=positions,
            out_cache_loc=found.plan.write_virtual.view(shape),
            full_out_cache_loc=found.plan.write_ids(pool, kind=kind.FULL).view(shape),
            swa_out_cache_loc=found.plan.write_ids(pool, kind=kind.SLIDING_WINDOW).view(shape),
            extend_prefix_lens=step.prefix_lens,
            extend_lens=step.extend_lens,
            extend_seq_lens=found.extend.seq_lens,
            extend_cache_loc=found.locs.view(n, -1),
            extend_positions=found.at.view(n, -1),
        )

    return Theirs(call, read)


def windows(rng: np.random.Generator) -> Iterator[Batch]:
    for batch in batches(MOST)(rng):
        start = batch.inputs["seq_lens"]
        for label, new in (
            (batch.label, rng.integers(0, MOST + 1, len(start))),
            (f"{batch.label}, no new tokens", 0 * start),
            (f"{batch.label}, all that may be", 0 * start + MOST),
        ):
            own = dict(start_offset=start, end_offset=start + new)
            rest = {k: v for k, v in batch.inputs.items() if k != "seq_lens"}
            yield Batch({**rest, **own}, batch.live, label)


def windows_bench(count: int, query: int) -> tuple[Setup, Batch]:
    rng = np.random.default_rng(0)
    some = served(rng, count)
    start = some["seq_lens"]
    own = dict(
        req_pool_indices=some["req_pool_indices"],
        req_to_token=request_table(rng, ROWS, SERVED + query),
        start_offset=start,
        end_offset=start + rng.integers(1, query + 1, count),
    )
    sizes = {"req": count, "state": ROWS, "context": SERVED + query}
    plan = lambda: sglang_extend_locs(most=query, max_model_len=SERVED, states=ROWS)  # noqa: E731
    return Setup(plan, sizes), Batch(own, {"req": count})


def ragged_windows(
    batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
) -> Theirs:
    module, found = sglang().module(CACHE_LOCS), named()
    new = batch.inputs["end_offset"] - batch.inputs["start_offset"]
    n, room = batch.live["req"], max(int(new.max()), 1)

    def call() -> None:
        found.locs = module.assign_extend_cache_locs_func(
            given["req_pool_indices"],
            given["req_to_token"],
            given["start_offset"],
            given["end_offset"],
            n,
            room,
            device,
        )

    return Theirs(call, lambda: dict(out_cache_loc=found.locs[: int(new.sum())]))


PEERS = (
    Peer(
        name="SGLang EAGLE chain to verify, and its draft extend",
        engine="sglang",
        plan="sglang_eagle_verify",
        replaces=(
            f"{WORKER}:build_eagle_verify_input",
            f"{WORKER}:prepare_for_draft_extend",
            f"{EAGLE}:build_chain_tree",
            f"{EAGLE}:prepare_draft_extend_layout",
        ),
        setup=Setup(lambda: sglang_eagle_verify(drafts=3, mrope=True, **SETUP), small(4)),
        batches=batches(4, more=drafted),
        theirs=verify_chain,
        bench=benched(
            sglang_eagle_verify,
            lambda d: d + 1,
            drafted,
            drafts=lambda d: d,
            mrope=True,
        ),
    ),
    Peer(
        name="SGLang verify window of a unified pool, and a widened draft extend",
        engine="sglang",
        plan="sglang_eagle_verify",
        replaces=(
            f"{READER}:KVIndexTranslator.plan_uniform_extend",
            f"{CACHE_LOCS}:assign_extend_cache_locs_uniform_func",
            f"{EAGLE}:prepare_draft_extend_lengths",
            f"{WIDE}:compute_widened_draft_extend_locs_positions_triton",
        ),
        setup=Setup(
            lambda: sglang_eagle_verify(
                drafts=3,
                front=FRONT,
                warmup=1,
                page=PAGE,
                v_pages=(SLOTS // PAGE, SLOTS // PAGE // 2),
                **SETUP,
            ),
            small(4),
        ),
        batches=batches(4, PAGE, unified),
        theirs=verify_unified,
        bench=benched(
            sglang_eagle_verify,
            lambda d: d + 1,
            lambda rng, n, d: {
                **drafted(rng, n, d),
                "full_v2p": places(rng, (1 << 20) // PAGE),
                "swa_v2p": places(rng, (1 << 20) // PAGE),
                "stash_valid_lens": rng.integers(0, FRONT + 2, ROWS).astype(np.int32),
            },
            drafts=lambda d: d,
            front=FRONT,
            warmup=1,
            page=PAGE,
            slots=1 << 20,
            v_pages=((1 << 20) // PAGE, (1 << 20) // PAGE),
        ),
    ),
    Peer(
        name="SGLang slots of ragged verify windows",
        engine="sglang",
        plan="sglang_extend_locs",
        replaces=(f"{CACHE_LOCS}:assign_extend_cache_locs_func",),
        setup=Setup(
            lambda: sglang_extend_locs(
                most=MOST, max_model_len=LONGEST + MOST, states=POOL, slots=SLOTS
            ),
            {**small(MOST), "new": REQ * MOST},
        ),
        batches=windows,
        theirs=ragged_windows,
        bench=windows_bench,
    ),
)
