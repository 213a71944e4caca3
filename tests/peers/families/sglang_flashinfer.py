# pyright: basic
"""FlashInfer's slot lists: SGLang's own updaters beside one launch for both lists of a step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from metaplan.lang.plan import Plan
from metaplan.plans.sglang_flashinfer import (
    sglang_flashinfer,
    sglang_flashinfer_extend,
)
from tests.peers.engines import sglang
from tests.peers.peer import Batch, Peer, Setup, Tensors, Theirs
from tests.peers.sglang_parts import (
    ROWS,
    SERVED,
    made,
    moved,
    named,
    nothing,
    request_table,
    requests,
    served,
    translator,
    window_pool,
)

REQ, POOL, CONTEXT, SLOTS, WINDOW, MOST = 6, 9, 160, 1 << 10, 16, 12
ENCODER, PAGE, DRAFTS = 40, 16, 5
SMALL: Any = dict(context=CONTEXT, rows=POOL, slots=SLOTS)
LARGE: Any = dict(context=SERVED, rows=ROWS, slots=1 << 20)
BACKEND = "srt/layers/attention/flashinfer_backend.py"
READER = "srt/mem_cache/kv_index_translator.py"
REPLACED = (
    f"{READER}:KVIndexTranslator.pack_read_stream",
    "kernels/ops/attention/kv_indices.py:create_flashinfer_kv_indices_triton",
)


def batches(rng: np.random.Generator) -> Iterator[Batch]:
    for label, some in requests(rng, REQ, PAGE, CONTEXT, POOL):
        reads = dict(req_to_token=request_table(rng, POOL, CONTEXT, slots=SLOTS))
        yield Batch({**some, **reads}, {"req": len(some["seq_lens"])}, label)


def windowed(rng: np.random.Generator) -> Iterator[Batch]:
    for batch in batches(rng):
        inputs = {**batch.inputs, "full_to_swa": moved(rng, SLOTS)}
        yield Batch(inputs, batch.live, batch.label, dict(window=WINDOW))


def verified(rng: np.random.Generator) -> Iterator[Batch]:
    for batch in batches(rng):
        seq_lens = np.minimum(batch.inputs["seq_lens"], CONTEXT - DRAFTS)
        extra = dict(drafts=DRAFTS)
        yield Batch({**batch.inputs, "seq_lens": seq_lens}, batch.live, batch.label, extra)


def crossed(rng: np.random.Generator) -> Iterator[Batch]:
    for batch in batches(rng):
        seq_lens = np.minimum(batch.inputs["seq_lens"], CONTEXT - ENCODER)
        own = dict(seq_lens=seq_lens, encoder_lens=rng.integers(0, ENCODER + 1, len(seq_lens)))
        yield Batch({**batch.inputs, **own}, batch.live, batch.label)


def extended(rng: np.random.Generator) -> Iterator[Batch]:
    for at, batch in enumerate(windowed(rng)):
        seq_lens = batch.inputs["seq_lens"]
        most = np.minimum(seq_lens, MOST)
        new = (rng.integers(0, most + 1), 0 * most, most)[at % 3]
        inputs = {**batch.inputs, "prefix_lens": seq_lens - new}
        yield Batch(inputs, batch.live, batch.label, batch.extra)


def bench(
    declare: Callable[[], Plan],
    more: Callable[[np.random.Generator, Any, int], dict[str, Any]],
    drafts: int = 0,
) -> Callable[[int, int], tuple[Setup, Batch]]:
    """A batch as served, with what ``more`` adds to its requests for so many query tokens."""

    def at_full_size(count: int, query: int) -> tuple[Setup, Batch]:
        rng = np.random.default_rng(0)
        own = served(rng, count)
        inputs = {
            **own,
            "req_to_token": request_table(rng, ROWS, SERVED + 8),
            **more(rng, own["seq_lens"], query),
        }
        sizes = {
            "req": count,
            "entry": max(int(own["seq_lens"].sum()) + 64 * count, SERVED),
            "row": ROWS,
        }
        return Setup(declare, sizes), Batch(
            inputs, {"req": count}, extra=dict(window=1024, drafts=drafts)
        )

    return at_full_size


def updater(cls: str, batch: Batch, given: Tensors, indptrs: list[torch.Tensor]) -> Any:
    moves, last = given.get("full_to_swa"), torch.ones_like(indptrs[0])
    reader = translator(given["req_to_token"])
    return made(
        getattr(sglang().module(BACKEND), cls),
        kv_indptr=indptrs,
        qo_indptr=[torch.zeros_like(i) for i in indptrs],
        kv_last_page_len=last,
        sliding_window_size=batch.extra.get("window"),
        attn_backend=named(kv_index_translator=reader, dq_paged_kernel_lens=None),
        prefill_wrapper_ragged=named(begin_forward=nothing),
        _swa_kv_pool=None if moves is None else window_pool(moves),
        **dict.fromkeys(("num_qo_heads", "num_kv_heads", "head_dim", "data_type", "q_data_type")),
    )


def decode(update: str, lists: tuple[str, ...], captured: bool = True) -> Any:
    """The engine's method ``update``, whose wrappers hold ``lists`` in this order."""

    def theirs(
        batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
    ) -> Theirs:
        indices = [before[f"{name}indices"].clone() for name in lists]
        indptrs = [torch.zeros_like(before[f"{name}indptr"]) for name in lists]
        own = updater("FlashInferIndicesUpdaterDecode", batch, given, indptrs)
        seq_lens_cpu = torch.from_numpy(np.asarray(batch.inputs["seq_lens"]))
        total = int(seq_lens_cpu.sum())
        wrappers = [
            named(is_cuda_graph_enabled=True, _paged_kv_indices_buf=i, begin_forward=nothing)
            for i in indices
        ]

        def call() -> None:
            getattr(own, update)(
                given["seq_lens"],
                seq_lens_cpu,
                total,
                wrappers,
                given.get("encoder_lens"),
                None,
                plan=None,
                req_pool_indices=given["req_pool_indices"],
            )

        def read() -> Mapping[str, Any]:
            n = batch.live["req"] + 1
            found: dict[str, Any] = {}
            for name, own_indices, own_indptr in zip(lists, indices, indptrs, strict=True):
                found |= {f"{name}indices": own_indices, f"{name}indptr": own_indptr[:n]}
            return found

        return Theirs(call, read, captured)

    return theirs


def extend(lists: tuple[str, ...], use_ragged: bool) -> Any:
    """The engine's updater for steps that extend prefixes; it makes its lists anew each time."""

    def theirs(
        batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
    ) -> Theirs:
        indptrs = [torch.zeros_like(before[f"{name}indptr"]) for name in lists]
        own = updater("FlashInferIndicesUpdaterPrefill", batch, given, indptrs)
        seq_lens_cpu = torch.from_numpy(np.asarray(batch.inputs["seq_lens"]))
        prefix_lens_cpu = [int(n) for n in batch.inputs["prefix_lens"]]
        total = int(seq_lens_cpu.sum())
        made_lists: list[tuple[Any, ...]] = []
        made_masks: list[Any] = []

        def begin_forward(*lists: Any, custom_mask: Any = None, **_: Any) -> None:
            made_lists.append(lists)
            made_masks.append(custom_mask)

        wrappers = [named(is_cuda_graph_enabled=False, begin_forward=begin_forward) for _ in lists]
        update = own.update_sliding_window if "window_kv_" in lists else own.update_single_wrapper

        def call() -> None:
            made_lists.clear()
            made_masks.clear()
            update(
                given["req_pool_indices"],
                given["seq_lens"],
                seq_lens_cpu,
                total,
                given["prefix_lens"],
                wrappers,
                use_ragged,
                None,
                None,
                extend_prefix_lens_cpu=prefix_lens_cpu,
                plan=None,
            )

        def read() -> Mapping[str, Any]:
            n = batch.live["req"] + 1
            found: dict[str, Any] = {}
            for name, own_lists in zip(lists, made_lists, strict=True):
                qo_indptr, kv_indptr, kv_indices = own_lists[:3]
                # 256 cells of slack behind a new list are never written
                found |= {"qo_indptr": qo_indptr, f"{name}indptr": kv_indptr[:n]}
                found[f"{name}indices"] = kv_indices[: int(kv_indptr[n - 1])]
            if made_masks[0] is not None:  # the engine leaves out a mask without a zero
                found["window_mask"] = made_masks[0]
            return found

        return Theirs(call, read, captured=False)

    return theirs


def verify(batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str) -> Theirs:
    drafts = batch.extra["drafts"]
    total = int(np.asarray(batch.inputs["seq_lens"]).sum())
    seen = drafts * (total + drafts * batch.live["req"])
    own = made(
        sglang().module("srt/speculative/eagle_info.py").EagleVerifyInput,
        draft_token_num=drafts,
        custom_mask=torch.ones(seen, dtype=torch.bool, device=device),
    )
    reader = translator(given["req_to_token"])
    done: list[torch.Tensor] = []

    def call() -> None:
        done[:] = own.generate_attn_arg_prefill(
            req_pool_indices=given["req_pool_indices"],
            paged_kernel_lens=given["seq_lens"],
            paged_kernel_lens_sum=total,
            translator=reader,
            plan=None,
        )

    names = ("kv_indices", "kv_indptr", "qo_indptr")
    return Theirs(call, lambda: dict(zip(names, done[:3], strict=True)))


def verify_bench(count: int, query: int) -> tuple[Setup, Batch]:
    return bench(lambda: sglang_flashinfer(drafts=query, **LARGE), lambda *_: {}, drafts=query)(
        count, query
    )


def prefix(_: np.random.Generator, seq_lens: Any, query: int) -> dict[str, Any]:
    return dict(prefix_lens=seq_lens - query)


def swa(rng: np.random.Generator, seq_lens: Any, query: int) -> dict[str, Any]:
    return dict(full_to_swa=moved(rng, LARGE["slots"]))


def both(rng: np.random.Generator, seq_lens: Any, query: int) -> dict[str, Any]:
    return swa(rng, seq_lens, query) | prefix(rng, seq_lens, query)


PEERS = (
    Peer(
        name="SGLang FlashInfer slot lists",
        engine="sglang",
        plan="sglang_flashinfer",
        replaces=(f"{BACKEND}:FlashInferIndicesUpdaterDecode.update_single_wrapper", *REPLACED),
        setup=Setup(lambda: sglang_flashinfer(**SMALL), {"req": REQ}),
        batches=batches,
        theirs=decode("update_single_wrapper", ("kv_",)),
        bench=bench(lambda: sglang_flashinfer(**LARGE), lambda *_: {}),
    ),
    Peer(
        name="SGLang FlashInfer slot lists, sliding window",
        engine="sglang",
        plan="sglang_flashinfer",
        replaces=(
            f"{BACKEND}:FlashInferIndicesUpdaterDecode.update_sliding_window",
            "srt/mem_cache/swa_memory_pool.py:SWAKVPool.translate_loc_from_full_to_swa",
            *REPLACED,
        ),
        setup=Setup(lambda: sglang_flashinfer(window=WINDOW, moved=True, **SMALL), {"req": REQ}),
        batches=windowed,
        theirs=decode("update_sliding_window", ("window_kv_", "kv_"), captured=False),
        bench=bench(lambda: sglang_flashinfer(window=1024, moved=True, **LARGE), swa),
    ),
    Peer(
        name="SGLang FlashInfer slot lists, encoder and decoder",
        engine="sglang",
        plan="sglang_flashinfer",
        replaces=(f"{BACKEND}:FlashInferIndicesUpdaterDecode.update_cross_attention", *REPLACED),
        setup=Setup(lambda: sglang_flashinfer(encoder=ENCODER, **SMALL), {"req": REQ}),
        batches=crossed,
        theirs=decode("update_cross_attention", ("kv_", "cross_kv_"), captured=False),
        bench=bench(
            lambda: sglang_flashinfer(encoder=4096, **LARGE),
            lambda rng, seq_lens, _: dict(encoder_lens=rng.integers(0, 4097, len(seq_lens))),
        ),
    ),
    Peer(
        name="SGLang FlashInfer slot lists, verify",
        engine="sglang",
        plan="sglang_flashinfer",
        replaces=(
            "srt/speculative/eagle_info.py:EagleVerifyInput.generate_attn_arg_prefill",
            *REPLACED,
        ),
        setup=Setup(lambda: sglang_flashinfer(drafts=DRAFTS, **SMALL), {"req": REQ}),
        batches=verified,
        theirs=verify,
        bench=verify_bench,
    ),
    Peer(
        name="SGLang FlashInfer slot lists, extend",
        engine="sglang",
        plan="sglang_flashinfer_extend",
        replaces=(f"{BACKEND}:FlashInferIndicesUpdaterPrefill.update_single_wrapper", *REPLACED),
        setup=Setup(lambda: sglang_flashinfer_extend(most=MOST, **SMALL), {"req": REQ}),
        batches=extended,
        theirs=extend(("kv_",), use_ragged=False),
        bench=bench(lambda: sglang_flashinfer_extend(**LARGE), prefix),
    ),
    Peer(
        name="SGLang FlashInfer slot lists, extend with sliding window",
        engine="sglang",
        plan="sglang_flashinfer_extend",
        replaces=(f"{BACKEND}:FlashInferIndicesUpdaterPrefill.update_sliding_window", *REPLACED),
        setup=Setup(
            lambda: sglang_flashinfer_extend(window=WINDOW, moved=True, most=MOST, **SMALL),
            {"req": REQ},
        ),
        batches=extended,
        theirs=extend(("window_kv_", "kv_"), use_ragged=False),
        bench=bench(
            lambda: sglang_flashinfer_extend(window=1024, moved=True, most=8, **LARGE), both
        ),
    ),
    Peer(
        name="SGLang FlashInfer slot lists, prefixes with sliding window",
        engine="sglang",
        plan="sglang_flashinfer_extend",
        replaces=(
            f"{BACKEND}:FlashInferIndicesUpdaterPrefill.update_sliding_window",
            f"{BACKEND}:FlashInferIndicesUpdaterPrefill._build_swa_prefix_custom_mask",
            *REPLACED,
        ),
        setup=Setup(
            lambda: sglang_flashinfer_extend(
                window=WINDOW, moved=True, ragged=True, most=MOST, **SMALL
            ),
            {"req": REQ},
        ),
        batches=extended,
        theirs=extend(("window_kv_", "kv_"), use_ragged=True),
        bench=bench(
            lambda: sglang_flashinfer_extend(window=1024, moved=True, ragged=True, most=8, **LARGE),
            both,
        ),
    ),
)
