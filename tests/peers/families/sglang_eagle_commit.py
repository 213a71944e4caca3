# pyright: basic
"""Behind the target of an EAGLE round: SGLang's own commit beside one launch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from metaplan.plans.sglang_eagle import sglang_eagle_commit
from tests.peers.engines import sglang
from tests.peers.peer import Batch, Peer, Setup, Tensors, Theirs
from tests.peers.sglang_eagle_parts import (
    CACHE_LOCS,
    EAGLE,
    LONGEST,
    POOL,
    REQ,
    SLOTS,
    WORDS,
    WORKER,
    worker,
)
from tests.peers.sglang_parts import named, requests, served

UTILS = "srt/speculative/spec_utils.py"
COMMIT: dict[str, Any] = dict(max_model_len=LONGEST, slots=SLOTS, vocabulary=WORDS)


def accepted(
    rng: np.random.Generator, n: int, width: int, most: int, label: str
) -> dict[str, np.ndarray]:
    """A verified step: a chain's accepted tokens are in front, a tree's lie on a path from its root."""
    lens = rng.integers(1, most + 1, n)
    if "all" in label:
        lens[:] = most
    elif "none" in label:
        lens[:] = 1
    index = np.full((n, most), -1, np.int32)
    for row, k in enumerate(lens):
        path = np.arange(k) if most == width else np.append(0, draw(rng, width, k - 1))
        index[row, :k] = row * width + path
    return dict(accept_lens=lens.astype(np.int32), accept_index=index)


def draw(rng: np.random.Generator, width: int, count: int) -> np.ndarray:
    """Different nodes behind the root, in order."""
    return np.sort(rng.permutation(width - 1)[:count]) + 1


def verified(
    width: int, most: int, extra: bool = False
) -> Callable[[np.random.Generator], Iterator[Batch]]:
    """Verified steps: some, all or none of the drafts are accepted; with a tree's slots, one of the three."""

    def steps(rng: np.random.Generator) -> Iterator[Batch]:
        hows = ("some accepted", "all accepted", "none accepted")
        for at, (label, some) in enumerate(requests(rng, REQ, 8, LONGEST, POOL)):
            n = len(some["seq_lens"])
            if not n:
                continue  # the engine skips these calls in an idle step
            for how in hows[at % 3 :][:1] if extra else hows:
                own = dict(
                    seq_lens=some["seq_lens"],
                    predict=rng.integers(0, WORDS, (n, width)).astype(np.int32),
                    **accepted(rng, n, width, most, how),
                )
                if extra:
                    own["out_cache_loc"] = rng.integers(0, SLOTS, (n, width))
                yield Batch(own, {"req": n}, f"{label}, {how}")

    return steps


def commit_bench(count: int, query: int, track: int = 0) -> tuple[Setup, Batch]:
    rng, width = np.random.default_rng(0), max(query, 2)
    batch = Batch(
        dict(
            seq_lens=served(rng, count)["seq_lens"],
            predict=rng.integers(0, WORDS, (count, width)).astype(np.int32),
            **accepted(rng, count, width, width, ""),
        ),
        {"req": count},
    )
    plan = lambda: sglang_eagle_commit(drafts=width - 1, track=track)  # noqa: E731
    return Setup(plan, {"req": count}), batch


def tree_bench(count: int, query: int) -> tuple[Setup, Batch]:
    rng, width, depth = np.random.default_rng(0), max(query, 2), max(query // 2, 1)
    batch = Batch(
        dict(
            seq_lens=served(rng, count)["seq_lens"],
            predict=rng.integers(0, WORDS, (count, width)).astype(np.int32),
            out_cache_loc=rng.integers(0, 1 << 20, (count, width)),
            **accepted(rng, count, width, depth + 1, ""),
        ),
        {"req": count},
    )
    plan = lambda: sglang_eagle_commit(drafts=width - 1, depth=depth)  # noqa: E731
    return Setup(plan, {"req": count}), batch


def commit_chain(track: int) -> Any:
    def theirs(
        batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
    ) -> Theirs:
        module, found = sglang().module(EAGLE), named()
        n, width = given["predict"].shape

        def call() -> None:
            found.all = module.prepare_verify_commit_outputs(
                given["predict"].view(-1),
                given["accept_index"],
                given["accept_lens"],
                given["seq_lens"],
                num_draft_tokens=width,
                mamba_track_interval=track,
            )

        def read() -> Mapping[str, Any]:
            new_seq_lens, bonus, (last, tracked), (correct, select, ids) = found.all
            said = dict(
                new_seq_lens=new_seq_lens,
                bonus_tokens=bonus,
                last_steps=last,
                num_correct_drafts=correct,
                select_index=select,
                next_token_ids=ids.view(n, width),
            )
            return said if tracked is None else {**said, "track_steps": tracked}

        return Theirs(call, read)

    return theirs


def commit_tree(
    batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
) -> Theirs:
    module, chain, found = sglang().module(EAGLE), worker(), named()
    n, width = given["predict"].shape
    step = named(seq_lens=given["seq_lens"], out_cache_loc=given["out_cache_loc"].view(-1))
    moves: list[Any] = []
    cache = named(move_kv_cache=lambda *slots: moves.append(slots))
    pool, logits = named(get_kvcache=lambda: cache), named(hidden_states=None)

    def call() -> None:
        moves.clear()
        predict, lens = given["predict"].view(-1), given["accept_lens"]
        found.new_seq_lens, found.bonus = module.prepare_verify_commit_outputs(
            predict, given["accept_index"], lens, given["seq_lens"]
        )
        found.front = chain._finalize_accept_tree_path(
            step,
            given["accept_index"],
            lens,
            predict,
            logits,
            n,
            token_to_kv_pool_allocator=pool,
            num_draft_tokens=width,
        )
        found.inputs = module.prepare_draft_extend_inputs(lens, found.front, width)

    def read() -> Mapping[str, Any]:
        correct, select, ids = found.inputs
        target, source = moves[-1]
        return dict(
            new_seq_lens=found.new_seq_lens,
            bonus_tokens=found.bonus,
            num_correct_drafts=correct,
            select_index=select,
            next_token_ids=ids.view(n, width),
            accepted_front=found.front.view(n, width),
            target_cache_loc=target,
            accept_cache_loc=source,
        )

    return Theirs(call, read)


def commit_unfused(
    batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
) -> Theirs:
    """What the worker runs where it has no fused commit."""
    module, found = sglang().module(EAGLE), named()
    n, width = given["predict"].shape
    bonus = torch.zeros(n, dtype=torch.int32, device=device)

    def call() -> None:
        found.new_seq_lens = given["seq_lens"] + given["accept_lens"]
        tokens = given["predict"].view(-1)[given["accept_index"]]
        module.fill_bonus_tokens_func(tokens, given["accept_lens"], bonus, tokens.shape[1], n)
        found.inputs = module.prepare_draft_extend_inputs(
            given["accept_lens"], given["predict"].view(-1), width
        )

    def read() -> Mapping[str, Any]:
        correct, select, ids = found.inputs
        return dict(
            new_seq_lens=found.new_seq_lens,
            bonus_tokens=bonus,
            num_correct_drafts=correct,
            select_index=select,
            next_token_ids=ids.view(n, width),
        )

    return Theirs(call, read)


PEERS = (
    Peer(
        name="SGLang commit of a verified chain",
        engine="sglang",
        plan="sglang_eagle_commit",
        replaces=(f"{EAGLE}:prepare_verify_commit_outputs",),
        setup=Setup(lambda: sglang_eagle_commit(drafts=3, track=4, **COMMIT), {"req": REQ}),
        batches=verified(4, 4),
        theirs=commit_chain(4),
        bench=lambda count, query: commit_bench(count, query, track=4),
    ),
    Peer(
        name="SGLang commit of a chain without the fused kernel",
        engine="sglang",
        plan="sglang_eagle_commit",
        replaces=(
            f"{EAGLE}:fill_bonus_tokens_func",
            f"{EAGLE}:prepare_draft_extend_inputs",
        ),
        setup=Setup(lambda: sglang_eagle_commit(drafts=3, **COMMIT), {"req": REQ}),
        batches=verified(4, 4),
        theirs=commit_unfused,
        bench=commit_bench,
    ),
    Peer(
        name="SGLang commit of a verified tree",
        engine="sglang",
        plan="sglang_eagle_commit",
        replaces=(
            f"{WORKER}:_finalize_accept_tree_path",
            f"{UTILS}:move_accept_tokens_to_target_kvcache",
            f"{CACHE_LOCS}:fill_front_out_cache_loc_func",
            f"{EAGLE}:fill_accept_out_cache_loc_func",
            f"{EAGLE}:prepare_draft_extend_inputs",
        ),
        setup=Setup(lambda: sglang_eagle_commit(drafts=7, depth=3, **COMMIT), {"req": REQ}),
        batches=verified(8, 4, extra=True),
        theirs=commit_tree,
        bench=tree_bench,
    ),
)
