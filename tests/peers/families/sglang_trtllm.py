# pyright: basic
"""The metadata of TRT-LLM's kernels: what SGLang's backends do before a replay, beside one launch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from metaplan.lang.plan import Plan
from metaplan.plans.sglang_pool import Pool
from metaplan.plans.sglang_trtllm import sglang_trtllm_mha, sglang_trtllm_mla
from tests.peers.engines import sglang
from tests.peers.peer import Batch, Tensors, Theirs
from tests.peers.sglang_parts import made, named, translator, window_pool
from tests.peers.sglang_steps import Case, buffers, mode, upto

MHA = "srt/layers/attention/trtllm_mha_backend.py"
MLA = "srt/layers/attention/trtllm_mla_backend.py"
FUSED = (
    f"{MHA}:TRTLLMHAAttnBackend._apply_cuda_graph_metadata",
    "kernels/ops/attention/trtllm_mha_graph_metadata.py:update_trtllm_mha_graph_metadata",
)
GATHER = "kernels/ops/attention/kv_indices.py:create_flashmla_kv_indices_triton"


def written(
    rng: np.random.Generator, inputs: Any, pool: Pool, extra: Any, at: int
) -> dict[str, Any]:
    """The slots that the step writes, some of them of no token; and slots that have no other."""
    n, moves = len(inputs["seq_lens"]) * extra.get("query", 1), inputs["full_to_swa"].copy()
    loc = np.where(rng.integers(0, 4, n) > 0, rng.integers(0, pool.slots, n), -1)
    if extra["mode"] != "eager":  # the kernel of an eager step takes -1 for page 0
        moves[rng.integers(0, len(moves), len(moves) // 8)] = -1
    return dict(out_cache_loc=loc, full_to_swa=moves)


def record(batch: Batch, own: Mapping[str, torch.Tensor], step: str) -> Any:
    n, fields = batch.live["req"], dict[str, Any]()
    for table in ("page_table", "swa_page_table"):
        if f"{table}{step}" in own:
            fields[table] = own[f"{table}{step}"][:n]
    if "cu_seqlens_q" in own:
        fields["cu_seqlens_q"] = own["cu_seqlens_q"][: n + 1]
    query = batch.extra.get("query", 1)
    return (
        sglang()
        .module(MHA)
        .TRTLLMMHAMetadata(
            cache_seqlens_int32=own[f"cache_seqlens{step}"][:n],
            cu_seqlens_k=own[f"cu_seqlens_k{step}"][: n + 1],
            max_seq_len_q=query,
            swa_out_cache_loc=own.get("swa_out_cache_loc"),
            **fields,
        )
    )


def mha_backend(batch: Batch, given: Tensors, **more: Any) -> Any:
    pool, moves = batch.extra["pool"], given.get("full_to_swa")
    return made(
        sglang().module(MHA).TRTLLMHAAttnBackend,
        req_to_token=given["req_to_token"],
        page_size=pool.page,
        max_num_pages=pool.pages,
        kv_index_translator=translator(given["req_to_token"]),
        expand_encoder_only_verify=False,
        _swa_full_to_swa_mapping=moves,
        _swa_kv_pool=None if moves is None else window_pool(moves),
        **more,
    )


def mha(batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str) -> Theirs:
    n, own, kind = batch.live["req"], buffers(before), batch.extra["mode"]
    tables = {"verify": "target_verify_metadata", "extend": "draft_extend_metadata"}
    modes = {"verify": "target_verify", "extend": "draft_extend_v2"}
    runs: list[Any] = []
    for at, more in enumerate(batch.extra["ahead"]):
        step = f"_{at}" if len(batch.extra["ahead"]) > 1 else ""
        table = {tables.get(kind, "decode_cuda_graph_metadata"): {n: record(batch, own, step)}}
        runs.append(mha_backend(batch, given, speculative_step_id=more - 1, **table))
    spec = None if kind == "decode" else named(ragged_verify_layout=None)
    forward = mode(modes.get(kind, "decode_or_idle"))
    rows = (given["req_pool_indices"], given["seq_lens"])

    def call() -> None:
        for run in runs:
            run._apply_cuda_graph_metadata(n, *rows, forward, spec, given.get("out_cache_loc"))

    return Theirs(call, lambda: upto(batch, own))


def mha_eager(
    batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
) -> Theirs:
    own = {name: before[name].clone() for name in before if name.endswith("page_table")}
    n, run = batch.live["req"], mha_backend(batch, given)
    tables = named(**{name: x[:n] for name, x in own.items()})

    def call() -> None:
        run._fill_page_table_device(tables, given["req_pool_indices"], given["seq_lens"])

    return Theirs(call, lambda: own)


def mla(batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str) -> Theirs:
    n, own, pool = batch.live["req"], buffers(before), batch.extra["pool"]
    verifies = batch.extra["ahead"] != (0,)
    lengths = torch.zeros(n, dtype=torch.int32, device=device)
    metadata = named(
        seq_lens_k=own["seq_lens_k"][:n],
        block_kv_indices=own["block_kv_indices"][:n],
        global_seq_lens_k=lengths,
    )
    run = made(
        sglang().module(MLA).TRTLLMMLABackend,
        decode_cuda_graph_metadata={n: metadata},
        num_draft_tokens=batch.extra["ahead"][0],
        req_to_token=given["req_to_token"],
        page_size=pool.page,
        kv_index_translator=translator(given["req_to_token"]),
    )
    forward = mode("target_verify" if verifies else "decode_or_idle")
    rows = (given["req_pool_indices"], given["seq_lens"])
    parallel, width = named(dcp_enabled=False), own["block_kv_indices"].shape[1]
    sglang().module(MLA).get_parallel = lambda: parallel

    def call() -> None:
        if batch.extra["mode"] == "eager":
            own["block_kv_indices"] = run._create_block_kv_indices(None, n, width, *rows, device)
        else:
            run._apply_cuda_graph_metadata(None, n, *rows, forward)

    def read() -> Mapping[str, Any]:
        eager = batch.extra["mode"] == "eager"
        return dict(block_kv_indices=own["block_kv_indices"]) if eager else own

    return Theirs(call, read)


def mha_plan(pool: Pool, extra: Mapping[str, Any]) -> Plan:
    query = extra.get("query", 0) if extra["mode"] == "extend" else 0
    return sglang_trtllm_mha(pool=pool, ahead=extra["ahead"], query=query)


def mla_plan(pool: Pool, extra: Mapping[str, Any]) -> Plan:
    return sglang_trtllm_mla(
        pool=pool,
        ahead=extra["ahead"][0],
        columns=pool.pages + 2,
        fill=extra["mode"] == "eager",
    )


def drafted(query: int) -> dict[str, Any]:
    return dict(mode="draft", ahead=tuple(range(1, max(query, 2))))


def verified(query: int) -> dict[str, Any]:
    return dict(mode="verify", ahead=(query,), query=query)


def extended(query: int) -> dict[str, Any]:
    return dict(mode="extend", ahead=(0,), query=query)


# without a request the engine leaves every buffer as it is
LOC: Any = dict(add=written, live=dict(loc="out_cache_loc"), pool=dict(moved=True), idle=False)
CASES = (
    Case(
        name="SGLang TRT-LLM MHA decode",
        plan="sglang_trtllm_mha",
        replaces=FUSED,
        theirs=mha,
        declare=mha_plan,
        extra=dict(mode="decode", ahead=(0,)),
    ),
    Case(
        name="SGLang TRT-LLM MHA draft steps",
        plan="sglang_trtllm_mha",
        replaces=FUSED,
        theirs=mha,
        declare=mha_plan,
        extra=drafted(4),
        served=drafted,
        **LOC,
    ),
    Case(
        name="SGLang TRT-LLM MHA verify",
        plan="sglang_trtllm_mha",
        replaces=FUSED,
        theirs=mha,
        declare=mha_plan,
        extra=verified(5),
        served=verified,
        **LOC,
    ),
    Case(
        name="SGLang TRT-LLM MHA draft extend",
        plan="sglang_trtllm_mha",
        replaces=FUSED,
        theirs=mha,
        declare=mha_plan,
        extra=extended(5),
        served=extended,
        **LOC,
    ),
    Case(
        name="SGLang TRT-LLM MHA page tables, eager",
        plan="sglang_trtllm_mha",
        replaces=(
            f"{MHA}:TRTLLMHAAttnBackend._fill_page_table_device",
            "kernels/ops/attention/trtllm_mha_page_table.py:build_trtllm_mha_page_table",
        ),
        theirs=mha_eager,
        declare=mha_plan,
        extra=dict(mode="eager", ahead=(0,)),
        **LOC,
    ),
    Case(
        name="SGLang TRT-LLM MLA decode",
        plan="sglang_trtllm_mla",
        replaces=(f"{MLA}:TRTLLMMLABackend._apply_cuda_graph_metadata", GATHER),
        theirs=mla,
        declare=mla_plan,
        extra=dict(mode="decode", ahead=(0,)),
    ),
    Case(
        name="SGLang TRT-LLM MLA verify",
        plan="sglang_trtllm_mla",
        replaces=(f"{MLA}:TRTLLMMLABackend._apply_cuda_graph_metadata", GATHER),
        theirs=mla,
        declare=mla_plan,
        extra=verified(5),
        served=verified,
    ),
    Case(
        name="SGLang TRT-LLM MLA page table, eager",
        plan="sglang_trtllm_mla",
        replaces=(f"{MLA}:TRTLLMMLABackend._create_block_kv_indices", GATHER),
        theirs=mla,
        declare=mla_plan,
        extra=dict(mode="eager", ahead=(0,)),
    ),
)
PEERS = tuple(case.peer() for case in CASES)
