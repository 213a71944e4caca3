# pyright: basic
"""What stands in for the compiled parts of engines: their own kernels where they can be built, loops where not.

On the CPU a call ends with as many torch operations as the engine launches kernels, so that they are counted.
"""

from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import Any

import torch

from tests.oracles import schedules as loops
from tests.peers import native


def address(x: torch.Tensor | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(None if x is None else x.data_ptr())


def kernel(name: str, x: torch.Tensor) -> tuple[Any, ctypes.c_void_p]:
    """The library for the device of ``x``, None where loops must do, and the stream."""
    if not x.is_cuda:
        return native.on_host(name), address(None)
    return native.on_device(name), ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)


def filled(out: torch.Tensor, values: Any) -> None:
    out.copy_(torch.tensor(values, dtype=out.dtype).view(out.shape))


def launched(out: torch.Tensor, times: int = 1) -> None:
    if out.device.type == "cpu":
        for _ in range(times):
            out.add_(0)


# ----------------------------------------------------------------- SGLang


def flashmla_sched_meta(
    schedule: torch.Tensor,
    num_splits: torch.Tensor,
    topk_length: torch.Tensor | None,
    extra_topk_length: torch.Tensor | None,
    seqlens_k: torch.Tensor | None,
    block: int,
    overhead: int,
    topk: int,
    extra_topk: int,
) -> None:
    requests, parts = len(num_splits) - 1, len(schedule)
    library, stream = kernel("flash_mla", schedule)
    if library is None:
        keys = []
        for r in range(requests):
            if topk == -1:
                assert seqlens_k is not None
                keys.append(int(seqlens_k[r]))
                continue
            own = max(topk if topk_length is None else int(topk_length[r]), 1)
            if extra_topk:
                more = extra_topk if extra_topk_length is None else int(extra_topk_length[r])
                own = -(-own // block) * block + more
            keys.append(own)
        made = loops.flash_mla(keys, parts, block, overhead)
        filled(schedule, made[0])
        filled(num_splits, made[1])
    else:
        given = (address(x) for x in (topk_length, extra_topk_length, seqlens_k))
        out = (address(schedule), address(num_splits))
        assert not library.flash_mla(
            requests, block, overhead, topk, extra_topk, *given, *out, parts, stream
        )
    launched(schedule)


def paged_mqa(context_lens: torch.Tensor, schedule: torch.Tensor, workspace: torch.Tensor) -> None:
    library, stream = kernel("paged_mqa", schedule)
    requests, processors = len(context_lens), len(schedule) - 1
    if library is None:
        filled(schedule, loops.paged_mqa(context_lens.tolist(), processors, 256, False))
    else:
        given = (address(context_lens), address(schedule))
        assert not library.paged_mqa(requests, processors, *given, stream)
    launched(schedule)


BY_FILE = {
    "deepseek_v4/flashmla_sched_meta.cuh": SimpleNamespace(flashmla_sched_meta=flashmla_sched_meta),
    "deepseek_v4/paged_mqa_metadata.cuh": SimpleNamespace(run=paged_mqa),
}


def load_jit(*_: Any, cuda_files: list[str], **__: Any) -> Any:
    """SGLang's loader of kernels: by file."""
    return BY_FILE[cuda_files[0]]


# ------------------------------------------------------------------- vLLM

MOE = "_moe_C_stable_libtorch.abi3.so"


def moe_align_block_size(
    topk_ids: torch.Tensor,
    experts: int,
    block: int,
    sorted_ids: torch.Tensor,
    expert_ids: torch.Tensor,
    total: torch.Tensor,
    expert_map: torch.Tensor | None = None,
    scatter_idx: torch.Tensor | None = None,
) -> None:
    """vLLM's operator, or loops: both fill all of ``sorted_ids`` and ``expert_ids``."""
    if topk_ids.is_cuda:
        assert native.torch_library(MOE), f"PEERS_NATIVE names no folder with {MOE}"
        torch.ops._moe_C.moe_align_block_size(
            topk_ids, experts, block, sorted_ids, expert_ids, total, expert_map, scatter_idx
        )
        return
    keys = topk_ids.flatten().tolist()
    if expert_map is not None:
        local = expert_map.tolist()
        keys = [local[k] if k >= 0 else -1 for k in keys]
    rows, owners = loops.moe_align(keys, experts, block, len(keys))
    filled(sorted_ids, rows + [len(keys)] * (len(sorted_ids) - len(rows)))
    filled(expert_ids, owners + [0] * (len(expert_ids) - len(owners)))
    filled(total, [len(rows)])
    if scatter_idx is not None:
        filled(scatter_idx, [at if key >= 0 else -1 for at, key in enumerate(keys)])
    launched(total, 2)


def batched_moe_align_block_size(
    room: int,
    block: int,
    tokens: torch.Tensor,
    sorted_ids: torch.Tensor,
    expert_ids: torch.Tensor,
    total: torch.Tensor,
) -> None:
    if tokens.is_cuda:
        assert native.torch_library(MOE), f"PEERS_NATIVE names no folder with {MOE}"
        given = room, block, tokens, sorted_ids, expert_ids, total
        torch.ops._moe_C.batched_moe_align_block_size(*given)
        return
    made = loops.batched_moe_align(tokens.tolist(), room, block)
    for out, values in zip((sorted_ids, expert_ids, total), made, strict=True):
        filled(out, values)
    launched(total)


# ------------------------------------------------------------- FlashInfer


def decode_plan(
    indptr: torch.Tensor,
    kv_heads: int,
    page: int,
    graphs: bool,
    processors: int,
    blocks: int,
    room: torch.Tensor,
) -> dict[str, Any]:
    """FlashInfer's plan of a decode batch in ``room``, uint8 on the host; views of its arrays by our names."""
    requests = len(indptr) - 1
    library = native.on_host("flashinfer_plan")
    if library is None:
        return decode_loops(indptr, kv_heads, page, graphs, processors * blocks)
    said, message = (ctypes.c_int64 * 10)(), ctypes.create_string_buffer(256)
    failed = library.decode_plan(
        address(indptr), requests, kv_heads, page, int(graphs), processors, blocks,
        address(room), ctypes.c_int64(room.numel()), said, message,
    )  # fmt: skip
    assert not failed, message.value
    padded, _, _, request, chunk, o_indptr, mask, size, _, split = said

    def part(begin: int, cells: int, dtype: torch.dtype = torch.int32) -> torch.Tensor:
        return room[begin : begin + cells * dtype.itemsize].view(dtype)

    ends = part(o_indptr, requests + 1)
    tiles = int(ends[-1])
    assert tiles <= padded, "the planner has written beyond its arrays"
    found = dict(
        request_indices=part(request, tiles),
        kv_tile_indices=part(chunk, tiles),
        o_indptr=ends,
        kv_chunk_size=part(size, 1),
    )
    if split:
        found["block_valid_mask"] = part(mask, padded, torch.bool)
    return found


def decode_loops(
    indptr: torch.Tensor, kv_heads: int, page: int, graphs: bool, grid: int
) -> dict[str, Any]:
    """The same by loops."""
    pages = indptr.diff().tolist()
    made = loops.flashinfer_decode(pages, grid, kv_heads, max(128 // page, 1))
    found = dict(
        request_indices=torch.tensor(made[0]),
        kv_tile_indices=torch.tensor(made[1]),
        o_indptr=torch.tensor(made[2]),
        kv_chunk_size=torch.tensor([made[3] * page]),
    )
    if len(pages) * kv_heads < grid and graphs:
        found["block_valid_mask"] = torch.arange(grid // kv_heads) < made[2][-1]
    return found


def tile_rows(rows: int, requests: int, group: int) -> int:
    """Rows of a tile for heads of 128 numbers, from the most tokens that a graph takes."""
    most = (rows - requests + 1) * group
    return 128 if most > 64 else 64 if most > 16 else 16


def prefill_plan(
    qo_indptr: torch.Tensor,
    kv_indptr: torch.Tensor,
    rows: int,
    kv_heads: int,
    group: int,
    page: int,
    window: int,
    processors: int,
    room: torch.Tensor,
) -> dict[str, Any]:
    """FlashInfer's plan of a prefill batch under CUDA graphs, as ``decode_plan``."""
    requests = len(qo_indptr) - 1
    library = native.on_host("flashinfer_plan")
    if library is None:
        fit = 2 * processors // kv_heads
        return prefill_loops(qo_indptr, kv_indptr, rows, fit, group, page, window)
    said, message = (ctypes.c_int64 * 15)(), ctypes.create_string_buffer(256)
    failed = library.prefill_plan(
        address(qo_indptr), address(kv_indptr), rows, requests, kv_heads, group, page, window,
        processors, address(room), ctypes.c_int64(room.numel()), said, message,
    )  # fmt: skip
    assert not failed, message.value
    padded, _, total, tile, request, query, chunk, merge, partial, size, _, _, mask, _, _ = said
    assert tile == tile_rows(rows, requests, group)

    def part(begin: int, cells: int, dtype: torch.dtype = torch.int32) -> torch.Tensor:
        return room[begin : begin + cells * dtype.itemsize].view(dtype)

    valid = part(mask, padded, torch.bool)
    programs = int(valid.sum())
    return dict(
        request_indices=part(request, programs),
        qo_tile_indices=part(query, programs),
        kv_tile_indices=part(chunk, programs),
        block_valid_mask=valid,
        merge_indptr=part(merge, int(qo_indptr[-1]) + 1),
        o_indptr=part(partial, requests + 1),
        kv_chunk_size=part(size, 1),
        total_num_rows=part(total, 1),
    )


def prefill_loops(
    qo_indptr: torch.Tensor,
    kv_indptr: torch.Tensor,
    rows: int,
    fit: int,
    group: int,
    page: int,
    window: int,
) -> dict[str, Any]:
    """The same by loops."""
    queries, pages = qo_indptr.diff().tolist(), kv_indptr.diff().tolist()
    tile = tile_rows(rows, len(queries), group)
    reach = -(-(window + tile) // page) if window >= 0 else 1 << 30
    least = max(128 // page, 1)
    made = loops.flashinfer_prefill(queries, pages, fit, group, tile, reach, least)
    programs = torch.tensor(made[0], dtype=torch.int32).view(-1, 3)
    most = max(fit, -(-rows * group // tile) + len(queries) - 1)
    return dict(
        request_indices=programs[:, 0],
        qo_tile_indices=programs[:, 1],
        kv_tile_indices=programs[:, 2],
        block_valid_mask=torch.arange(most) < len(programs),
        merge_indptr=torch.tensor(made[1]),
        o_indptr=torch.tensor(made[2]),
        kv_chunk_size=torch.tensor([made[3] * page]),
        total_num_rows=torch.tensor([sum(queries)]),
    )
