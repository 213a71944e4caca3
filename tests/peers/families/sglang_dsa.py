# pyright: basic
"""DeepSeek V3.2's sparse attention: SGLang's own backend beside one launch for each kind of step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch

from metaplan.plans.sglang_dsa import sglang_dsa
from tests.peers.as_cuda import as_cuda
from tests.peers.engines import sglang
from tests.peers.peer import Batch, Peer, Setup, Tensors, Theirs
from tests.peers.sglang_parts import (
    ROWS,
    SERVED,
    made,
    named,
    nothing,
    request_table,
    requests,
    served,
)

REQ, POOL, LONGEST, SLOTS, QUERY = 5, 7, 272, 1 << 12, 3
BACKEND = "srt/layers/attention/dsa_backend.py"
PRECOMPUTE = "srt/layers/attention/dsa/dsa_backend_mtp_precompute.py"
KERNELS = "kernels/ops/attention/dsa/metadata.py"
POOLED = "kernels/ops/attention/dsa/kpool_metadata"
LOOKUP = "kernels/ops/attention/dsa/transform_index.py"
EXPAND = "kernels/ops/attention/pad.py"
DECODE, VERIFY, EXTEND = "decode_or_idle", "target_verify", "draft_extend_v2"
Options = Mapping[str, Any]


def kind_of_step(kind: str) -> Any:
    return named(**{f"is_{k}": lambda k=k: k == kind for k in (DECODE, VERIFY, EXTEND)})


def tokens(options: Options) -> int:
    return options.get("query", 1)


def batches(options: Options) -> Callable[[np.random.Generator], Iterator[Batch]]:
    """Steps whose table has room for the tokens that the lengths do not count yet."""
    page, more = options.get("page", 64), 0 if options.get("counted", True) else tokens(options)

    def steps(rng: np.random.Generator) -> Iterator[Batch]:
        for label, some in requests(rng, REQ, page, LONGEST, POOL):
            n = len(some["seq_lens"])
            if not n:
                continue  # a backend's buffers are made for at least one request
            table = request_table(rng, POOL, LONGEST + more, page, SLOTS)
            own = {**some, "req_to_token": table}
            if options.get("ragged"):
                new = rng.integers(0, tokens(options) + 1, n).astype(np.int32)
                own["extend_seq_lens"] = new * ("whole" not in label) + ("whole" in label)
            yield Batch(own, {"req": n}, label)

    return steps


def setup(options: Options) -> Setup:
    more = 0 if options.get("counted", True) else tokens(options)
    sizes = {"req": REQ, "state": POOL, "context": LONGEST + more}
    given: Any = dict(max_model_len=LONGEST, states=POOL, slots=SLOTS, **options)
    return Setup(lambda: sglang_dsa(**given), sizes)


def bench(options: Options) -> Callable[[int, int], tuple[Setup, Batch]]:
    def at(count: int, query: int) -> tuple[Setup, Batch]:
        rng, own = np.random.default_rng(0), dict(options)
        if tokens(options) > 1:
            own["query"] = max(query, 2)
        own["topk"], page = 2048, own.get("page", 64)
        context = SERVED + (0 if own.get("counted", True) else own["query"])
        inputs = {**served(rng, count), "req_to_token": request_table(rng, ROWS, context, page)}
        if own.get("ragged"):
            inputs["extend_seq_lens"] = rng.integers(1, own["query"] + 1, count).astype(np.int32)
        sizes = {"req": count, "state": ROWS, "context": context}
        given: Any = dict(max_model_len=SERVED, states=ROWS, slots=1 << 20, **own)
        batch = Batch(inputs, {"req": count}, extra=dict(query=tokens(own), topk=2048))
        return Setup(lambda: sglang_dsa(**given), sizes), batch

    return at


def buffers(before: Mapping[str, torch.Tensor], n: int, rows: int) -> Any:
    """The metadata of a captured graph for ``n`` requests and ``rows`` query tokens: our garbage."""

    def flat(name: str, cells: int) -> torch.Tensor:
        return before[name].reshape(-1)[:cells].clone()

    lens, wide = before["paged_mqa_ctx_lens"], before.get("page_table_1")
    table = before.get("real_page_table")
    table = wide if table is None else table
    assert table is not None
    made = named(
        cache_seqlens_int32=flat("cache_seqlens", n),
        cu_seqlens_k=flat("cu_seqlens_k", n + 1),
        dsa_cache_seqlens_int32=flat("dsa_cache_seqlens", rows),
        dsa_cu_seqlens_k=flat("dsa_cu_seqlens_k", rows + 1),
        dsa_seqlens_expanded=torch.zeros(rows, dtype=torch.int32, device=lens.device),
        page_table_1=None if wide is None else wide[:rows].clone(),
        real_page_table=table[:rows].clone(),
        paged_mqa_ctx_lens_2d=flat("paged_mqa_ctx_lens", rows).view(rows, 1),
        topk_v2_plan=None,
    )
    if "real_page_table" not in before:
        made.real_page_table = made.page_table_1
    return made


def live(batch: Batch, table: torch.Tensor, rows: int, ahead: int, page: int = 1) -> Any:
    """A table and where it holds entries: the engine copies whole blocks of 128 tokens, and no reader looks there."""
    lens = np.asarray(batch.inputs["seq_lens"]) + ahead
    repeats = batch.inputs.get("extend_seq_lens", rows // len(lens))
    of_rows = np.repeat(lens, repeats)
    return table, np.arange(table.shape[1])[None] * page < of_rows[:, None]


def results(batch: Batch, m: Any, n: int, options: Options, query: int) -> Mapping[str, Any]:
    rows, page = len(m.dsa_cache_seqlens_int32), options.get("page", 64)
    ahead = 0 if options.get("counted", True) else query
    shape = (rows,) if options.get("ragged") or query == 1 else (n, query)
    said: dict[str, Any] = dict(
        cache_seqlens=m.cache_seqlens_int32,
        cu_seqlens_k=m.cu_seqlens_k,
        dsa_cache_seqlens=m.dsa_cache_seqlens_int32.view(shape),
        dsa_cu_seqlens_k=m.dsa_cu_seqlens_k,
        paged_mqa_ctx_lens=m.paged_mqa_ctx_lens_2d.reshape(shape),
    )
    if query > 1:
        said["dsa_seqlens_expanded"] = m.dsa_seqlens_expanded.view(shape)
    if page > 1:
        said["real_page_table"] = live(batch, m.real_page_table, rows, ahead, page)
    if options.get("wide", True):
        said["page_table_1"] = live(batch, m.page_table_1, rows, ahead)
    return said


def backend(given: Tensors, options: Options, query: int, topk: int, device: str) -> Any:
    module, pool = sglang().module(BACKEND), options.get("pool", 1)
    kernels = dict(
        _fused_decode_metadata=sglang().module(KERNELS).fused_dsa_decode_metadata,
        _fused_verify_metadata=sglang().module(KERNELS).fused_dsa_target_verify_metadata,
        _fused_draft_extend_metadata=sglang().module(KERNELS).fused_dsa_draft_extend_metadata,
    )
    if pool > 1:
        names = dict(decode="decode", verify="target_verify", draft_extend="draft_extend")
        kernels = {
            f"_fused_{short}_metadata": partial(
                getattr(
                    sglang().module(f"{POOLED}/{short}.py"), f"fused_dsa_{long}_metadata_kpool"
                ),
                index_kpool=pool,
            )
            for short, long in names.items()
        }
    module.get_platform = lambda: named(is_sm100=options.get("rectangle", False))
    return made(
        module.DeepseekSparseAttnBackend,
        **kernels,
        req_to_token=given["req_to_token"],
        device=device,
        dsa_index_kpool=pool,
        dsa_index_topk=topk,
        experimental_kpool_metadata_fusion=options.get("fused", pool > 1),
        physical_page_size=options.get("page", 64),
        speculative_num_draft_tokens=query,
        dsa_decode_impl="fa3",
        set_dsa_prefill_impl=nothing,
        _refresh_paged_mqa_schedule_metadata=nothing,
        _update_kpool_metadata_replay=nothing,
    )


def replayed(kind: str, options: Options) -> Any:
    """The backend's preparation of a captured graph's replay."""

    def theirs(
        batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
    ) -> Theirs:
        n, query = batch.live["req"], batch.extra.get("query", tokens(options))
        topk = batch.extra.get("topk", options.get("topk"))
        metadata = buffers(before, n, n * query)
        metadata.page_size = options.get("page", 64)
        if options.get("rectangle"):
            metadata.paged_mqa_ctx_lens_2d = metadata.paged_mqa_ctx_lens_2d.view(n, query)
        own = backend(given, options, query, topk, device)
        own.decode_cuda_graph_metadata = {n: metadata}
        mode = kind_of_step(kind)

        def call() -> None:
            with as_cuda(device):
                own._apply_cuda_graph_metadata(
                    n, given["req_pool_indices"], given["seq_lens"], None, mode, None
                )

        return Theirs(call, lambda: results(batch, metadata, n, options, query))

    return theirs


def precomputed(kind: str, options: Options) -> Any:
    """What a multi-step draft computes once for all its backends, in torch where no kernel is fused."""

    def theirs(
        batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
    ) -> Theirs:
        n, query = batch.live["req"], batch.extra.get("query", tokens(options))
        topk = batch.extra.get("topk", options.get("topk"))
        own = backend(given, {**options, "fused": False}, query, topk, device)
        own.decode_cuda_graph_metadata = {n: named(page_table_1=given["req_to_token"])}
        mode, found = kind_of_step(kind), named()

        def call() -> None:
            with as_cuda(device):
                found.all = own._precompute_replay_metadata(
                    n, given["req_pool_indices"], given["seq_lens"], None, mode
                )

        def read() -> Mapping[str, Any]:
            m = found.all
            said = named(
                cache_seqlens_int32=m.cache_seqlens,
                cu_seqlens_k=m.cu_seqlens_k,
                dsa_cache_seqlens_int32=m.dsa_cache_seqlens,
                dsa_cu_seqlens_k=m.dsa_cu_seqlens_k,
                dsa_seqlens_expanded=m.seqlens_expanded,
                page_table_1=m.page_indices,
                real_page_table=m.real_page_table,
                paged_mqa_ctx_lens_2d=m.seqlens_expanded,
            )
            return results(batch, said, n, options, query)

        return Theirs(call, read)

    return theirs


def extended(options: Options) -> Any:
    """A draft extend whose requests have accepted different numbers of tokens."""

    def theirs(
        batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
    ) -> Theirs:
        n, query = batch.live["req"], batch.extra.get("query", tokens(options))
        rows = int(np.asarray(batch.inputs["extend_seq_lens"]).sum())
        topk = batch.extra.get("topk", options.get("topk"))
        m, found = buffers(before, n, rows), named()
        kernel = sglang().module(KERNELS).fused_dsa_draft_extend_metadata
        expand = sglang().module(EXPAND).seqlens_expand_triton
        new, seq_lens = given["extend_seq_lens"], given["seq_lens"]
        width = given["req_to_token"].shape[1]

        def call() -> None:
            with as_cuda(device):
                kernel(
                    seq_lens,
                    new,
                    given["req_pool_indices"],
                    given["req_to_token"],
                    m.cache_seqlens_int32,
                    m.cu_seqlens_k,
                    m.page_table_1,
                    m.dsa_seqlens_expanded,
                    m.dsa_cache_seqlens_int32,
                    m.dsa_cu_seqlens_k,
                    m.real_page_table,
                    n,
                    rows,
                    width,
                    topk,
                    options.get("page", 64),
                    query,
                    n * query,
                )
                found.expanded = expand(new, m.cache_seqlens_int32, rows, query)

        def read() -> Mapping[str, Any]:
            m.paged_mqa_ctx_lens_2d = found.expanded
            return results(batch, m, n, options, query)

        return Theirs(call, read)

    return theirs


def peer(
    name: str, kernel: str, run: Callable[[str, Options], Any], kind: str, **options: Any
) -> Peer:
    given = dict(topk=48, **options)
    above: list[str] = []
    if run is replayed:
        above = [f"{BACKEND}:DeepseekSparseAttnBackend._apply_cuda_graph_metadata"]
    elif run is precomputed:
        mixin = "DeepseekSparseAttnBackendMTPPrecomputeMixin"
        above = [f"{PRECOMPUTE}:{mixin}._precompute_replay_metadata"]
    return Peer(
        name=name,
        engine="sglang",
        plan="sglang_dsa" if kind == DECODE else "sglang_dsa_verify",
        replaces=(*above, kernel),
        setup=setup(given),
        batches=batches(given),
        theirs=run(kind, given),
        bench=bench(options),
    )


PEERS = (
    peer("SGLang DSA decode", f"{KERNELS}:fused_dsa_decode_metadata", replayed, DECODE),
    peer(
        "SGLang DSA decode without the wide table",
        f"{KERNELS}:fused_dsa_decode_metadata",
        replayed,
        DECODE,
        wide=False,
    ),
    peer(
        "SGLang DSA decode on pages of one token",
        f"{KERNELS}:fused_dsa_decode_metadata",
        replayed,
        DECODE,
        page=1,
    ),
    peer(
        "SGLang DSA decode with pooled keys",
        f"{POOLED}/decode.py:fused_dsa_decode_metadata_kpool",
        replayed,
        DECODE,
        pool=4,
    ),
    peer(
        "SGLang DSA decode with pooled keys, in torch",
        f"{PRECOMPUTE}:compute_cu_seqlens",
        precomputed,
        DECODE,
        pool=4,
    ),
    peer(
        "SGLang DSA verify",
        f"{KERNELS}:fused_dsa_target_verify_metadata",
        replayed,
        VERIFY,
        query=QUERY,
        counted=False,
    ),
    peer(
        "SGLang DSA verify with a rectangle of lengths",
        f"{KERNELS}:fused_dsa_target_verify_metadata",
        replayed,
        VERIFY,
        query=QUERY,
        counted=False,
        rectangle=True,
        wide=False,
    ),
    peer(
        "SGLang DSA verify with pooled keys",
        f"{POOLED}/verify.py:fused_dsa_target_verify_metadata_kpool",
        replayed,
        VERIFY,
        query=QUERY,
        counted=False,
        pool=4,
        wide=False,
    ),
    peer(
        "SGLang DSA verify with pooled keys, in torch",
        f"{EXPAND}:seqlens_expand_triton",
        precomputed,
        VERIFY,
        query=QUERY,
        counted=False,
        pool=4,
    ),
    peer(
        "SGLang DSA draft extend",
        f"{KERNELS}:fused_dsa_draft_extend_metadata",
        replayed,
        EXTEND,
        query=QUERY,
        wide=False,
    ),
    peer(
        "SGLang DSA draft extend of ragged requests",
        f"{KERNELS}:fused_dsa_draft_extend_metadata",
        lambda _, options: extended(options),
        EXTEND,
        query=QUERY,
        ragged=True,
    ),
)
