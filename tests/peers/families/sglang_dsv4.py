# pyright: basic
"""DeepSeek-V4 and V4.1: what SGLang's own backend records in a graph, beside one launch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from metaplan.plans.sglang_dsv4 import sglang_dsv4
from tests.peers.as_cuda import as_cuda
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
    window_pool,
)

REQ, POOL, LONGEST, SLOTS, PAGE, QUERY, TOPK = 4, 6, 1100, 1 << 13, 256, 4, 512
BACKEND = "srt/layers/attention/deepseek_v4_backend.py"
CLASS = f"{BACKEND}:DeepseekV4AttnBackend"
PAGES = "kernels/ops/attention/dsv4/attn_metadata_kernels.py"
COMPRESSED = "kernels/ops/attention/dsv4/metadata_kernel.py"
DECODE, VERIFY, EXTEND = "decode", "verify", "extend"
Options = Mapping[str, Any]


def query_of(options: Options) -> int:
    return options.get("most") or options.get("query", 1)


def width(options: Options, longest: int = LONGEST) -> int:
    """Columns of the request table: what a step may add to the longest sequence has room."""
    return longest + (0 if options.get("counted", True) else query_of(options))


def inputs(
    rng: np.random.Generator, some: Mapping[str, np.ndarray], options: Options, table: np.ndarray
) -> dict[str, np.ndarray]:
    """The inputs of a step of these requests."""
    n, slots, query = (
        len(some["seq_lens"]),
        SLOTS if len(table) == POOL else 1 << 20,
        query_of(options),
    )
    own = {**some, "req_to_token": table, "full_to_swa": moved(rng, slots, PAGE)}
    shape = (n,) if query == 1 else (n * query,) if options.get("most") else (n, query)
    if options.get("most"):
        own["verify_lens"] = rng.integers(1, query + 1, n).astype(np.int32)
    return {**own, "out_cache_loc": rng.integers(0, slots, shape)}


def batches(options: Options) -> Callable[[np.random.Generator], Iterator[Batch]]:
    def steps(rng: np.random.Generator) -> Iterator[Batch]:
        low = query_of(options) if options.get("ratios") == () else 0
        # Tiles have 64 rows at least, which takes an interpreter long.
        every = 3 if options.get("tiles") else 1
        for label, some in [*requests(rng, REQ, PAGE, LONGEST, POOL, low=low)][::every]:
            if not len(some["seq_lens"]):
                continue  # the engine's kernels have no grid for an idle step
            table = request_table(rng, POOL, width(options), PAGE, SLOTS)
            yield Batch(inputs(rng, some, options, table), {"req": len(some["seq_lens"])}, label)

    return steps


def setup(options: Options, req: int, longest: int, states: int, slots: int) -> Setup:
    given: Any = dict(max_model_len=longest, states=states, slots=slots, **options)
    sizes = {"state": states, "context": width(options, longest), "slot": slots + PAGE + 1}
    sizes["req"] = req
    return Setup(lambda: sglang_dsv4(**given), sizes)


def bench(options: Options) -> Callable[[int, int], tuple[Setup, Batch]]:
    def at(count: int, query: int) -> tuple[Setup, Batch]:
        rng, own = np.random.default_rng(0), dict(options)
        for name in {"query", "most"} & own.keys():
            own[name] = max(query, 2)
        table = request_table(rng, ROWS, width(own, SERVED), PAGE)
        given = inputs(rng, served(rng, count), own, table)
        # What is only made where no context is longer than the indexer's choice is timed there too.
        if own.get("read_whole"):
            given["seq_lens"] = np.minimum(given["seq_lens"], TOPK - query_of(own))
        batch = Batch(given, {"req": count}, extra=dict(options=own))
        # The engine's buffers have room for one request more.
        room = (-(-count // 64) * 64 if own.get("tiles") else count) + (not own.get("most"))
        return setup(own, room, SERVED, ROWS, 1 << 20), batch

    return at


def backend(given: Tensors, options: Options, device: str) -> Any:
    """The engine's backend with the fields that these calls read; compiled schedules are left out."""
    module, ratios = sglang().module(BACKEND), options.get("ratios", (4, 128))
    small = options.get("small", True)
    module.get_parallel = lambda: named(attn_cp_size=1 if small else 2)
    module._create_flashmla_metadata = nothing
    pool = window_pool(given["full_to_swa"])
    pool.request_window = pool.swa_req_ring_size = None
    pool.get_index_k_page_size = lambda _: 64
    ints: Any = dict(dtype=torch.int32, device=device)
    rows = given["out_cache_loc"].numel()
    return made(
        module.DeepseekV4AttnBackend,
        req_to_token=given["req_to_token"],
        token_to_kv_pool=pool,
        MAX_SEQ_LEN_FOR_CAPTURE=given["req_to_token"].shape[1],
        page_size=PAGE,
        present_ratios=ratios,
        low_ratios=tuple(r for r in (1, 2) if r in ratios),
        has_c4=4 in ratios,
        has_c128=128 in ratios,
        index_topk=TOPK,
        trtllm_attn=options.get("tiles", False),
        device=device,
        cuda_int32_kwargs=ints,
        encoder_replay=False,
        encoder_row_floor=None,
        is_dspark_draft=False,
        needs_cpu_seq_lens=False,
        speculative_num_draft_tokens=options.get("query", 1),
        speculative_num_steps=0,
        topk=0,
        enable_deepseek_v4_fp4_indexer=False,
        dsa_topk_backend=named(should_use_topk_v2=lambda: False),
        online_c128_mtp=named(state_slot_offset=lambda: 0, enabled=lambda: False),
        extend_seq_lens_buffer=torch.zeros(len(given["seq_lens"]), **ints),
        extend_start_loc_buffer=torch.zeros(len(given["seq_lens"]), **ints),
        cuda_graph_swa_out_cache_loc=torch.ones(rows + query_of(options), **ints),
        _early_verify_metadata_ids=set(),
    )


def step(kind: str, given: Tensors, locs: torch.Tensor) -> Any:
    """The engine's batch; a verify's tokens are read through the fields of its raw metadata."""
    return named(
        out_cache_loc=locs,
        req_pool_indices=given["req_pool_indices"],
        seq_lens=given["seq_lens"],
        positions=locs,
        forward_mode=named(
            is_decode_or_idle=lambda: kind == DECODE,
            is_decode=lambda: kind == DECODE,
            is_target_verify=lambda: kind == VERIFY,
        ),
    )


def recorded(kind: str, options: Options) -> Any:
    """The part of the preparation that the engine records in the model's graph."""

    def theirs(
        batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
    ) -> Theirs:
        own = {**options, **batch.extra.get("options", {})}
        whole, locs = own.get("read_whole", False), given["out_cache_loc"].view(-1)
        if "verify_lens" in given:
            locs = locs[: int(batch.inputs["verify_lens"].sum())]
        engine, forward = backend(given, own, device), step(kind, given, locs)
        capture: Any = sglang().find("sglang.srt.model_executor.runner_utils.capture_mode")
        seq_lens, rows = given["seq_lens"], given["req_pool_indices"]
        found, layout = named(), None
        if "verify_lens" in given:
            lens = given["verify_lens"]
            start = torch.cumsum(lens, 0, dtype=torch.int32) - lens
            layout = named(verify_lens=lens, extend_start_loc=start, graph_num_tokens=len(locs))

        def call() -> None:
            capture.skip_low_ratio_indexer = lambda _: whole
            with as_cuda(device):
                if kind == EXTEND:
                    found.all = engine.init_forward_metadata_draft_extend(
                        rows, seq_lens, query_of(own), locs
                    )
                    return
                if kind == DECODE:
                    raw = engine.init_forward_metadata_decode(0, rows, seq_lens, locs)
                else:
                    raw = engine.init_forward_metadata_target_verify(
                        0, rows, seq_lens, out_cache_loc=locs, ragged_layout=layout
                    )
                engine.forward_metadata = raw
                engine.init_forward_metadata_in_graph(forward)
                found.all = engine.forward_metadata

        return Theirs(call, lambda: results(found.all, own, engine))

    return theirs


def results(metadata: Any, options: Options, engine: Any) -> Mapping[str, Any]:
    core, ratios = metadata.core_attn_metadata, options.get("ratios", (4, 128))
    names = ["seq_lens_casual", "positions_casual", "swa_topk_lengths", "swa_page_indices"]
    if not ratios:
        said = {n: getattr(core, n) for n in names}
        said["swa_out_cache_loc"] = engine.cuda_graph_swa_out_cache_loc
    else:
        names += ["swa_out_cache_loc", "page_table"]
        names += [f"c{r}_out_loc" for r in ratios] + [f"c{r}_topk_lengths_clamp1" for r in ratios]
        names += ["c4_topk_lengths_raw"] if 4 in ratios else []
        names += ["c128_page_indices"] if 128 in ratios else []
        for r in {1, 2, 4} & set(ratios):
            names += [f"c{r}_sparse_topk_lengths", f"c{r}_sparse_page_indices"]
        said = {n: getattr(core, n) for n in names}
    for r in {1, 2} & set(ratios):
        indexer = getattr(metadata, f"c{r}_indexer_metadata")
        said[f"c{r}_index_page_table"] = indexer.page_table
    if options.get("tiles"):
        tiled = ["trtllm_swa_lens", "trtllm_c4_indices", "trtllm_c4_lens"]
        tiled += ["trtllm_c128_indices", "trtllm_c128_lens"]
        tiled = [n for n in tiled if getattr(core, n) is not None]
        said |= {n: getattr(core, n) for n in tiled}
        said |= {n: inert_too(said[n]) for n in (*tiled, "seq_lens_casual", "swa_page_indices")}
    query = options.get("query", 1)
    return {n: x.view(-1, query) if query > 1 and x.ndim == 1 else x for n, x in said.items()}


def inert_too(x: torch.Tensor) -> torch.Tensor:
    """The rows up to a whole tile that lie behind a view."""
    return x.as_strided((-(-len(x) // 64) * 64, *x.shape[1:]), x.stride())


def peer(name: str, kind: str, replaces: tuple[str, ...], **options: Any) -> Peer:
    small = options.pop("small", True)
    room = max(REQ + 1, 64 // query_of(options)) if options.get("tiles") else REQ + 1
    calls = {
        DECODE: (
            f"{CLASS}.init_forward_metadata_decode",
            f"{CLASS}.init_forward_metadata_in_graph",
        ),
        VERIFY: (
            f"{CLASS}.init_forward_metadata_target_verify",
            f"{CLASS}.init_forward_metadata_in_graph",
        ),
        EXTEND: (f"{CLASS}.init_forward_metadata_draft_extend",),
    }
    return Peer(
        name=name,
        engine="sglang",
        plan="sglang_dsv41" if 1 in options.get("ratios", ()) else "sglang_dsv4",
        replaces=(*calls[kind], f"{CLASS}.make_core_attn_metadata", *replaces),
        setup=setup(options, room, LONGEST, POOL, SLOTS),
        batches=batches(options),
        theirs=recorded(kind, {**options, "small": small}),
        bench=bench(options),
    )


TOKENS = (
    f"{PAGES}:build_page_table_positions_triton",
    f"{PAGES}:build_causal_swa_page_indices_triton",
)
BOTH = (*TOKENS, f"{COMPRESSED}:_init_compressed_attn_metadata_triton")
LOW = (
    f"{PAGES}:build_page_table_positions_small",
    f"{COMPRESSED}:build_low_ratio_metadata",
    f"{COMPRESSED}:fill_all_compressed_indices",
)
TABLES = f"{BACKEND}:DSV4AttnMetadata.init_trtllm_sparse_buffers"
BEHIND: dict[str, Any] = dict(query=QUERY, counted=False)

PEERS = (
    peer("SGLang DeepSeek-V4 decode", DECODE, BOTH),
    peer("SGLang DeepSeek-V4 decode for TRT-LLM", DECODE, (*BOTH, TABLES), tiles=True),
    peer("SGLang DeepSeek-V4 verify", VERIFY, BOTH, **BEHIND),
    peer(
        "SGLang DeepSeek-V4 verify of ragged requests",
        VERIFY,
        (*BOTH, f"{PAGES}:expand_prefill_causally_triton"),
        most=QUERY,
        counted=False,
    ),
    peer("SGLang DeepSeek-V4 draft extend", EXTEND, TOKENS, ratios=(), query=QUERY),
    peer(
        "SGLang DeepSeek-V4 draft extend for TRT-LLM",
        EXTEND,
        (*TOKENS, TABLES),
        ratios=(),
        query=QUERY,
        tiles=True,
    ),
    peer("SGLang DeepSeek-V4.1 decode", DECODE, LOW, ratios=(1, 2), read_whole=True),
    peer("SGLang DeepSeek-V4.1 decode of long contexts", DECODE, LOW[:2], ratios=(1, 2)),
    peer(
        "SGLang DeepSeek-V4.1 decode of large batches",
        DECODE,
        (*TOKENS, f"{BACKEND}:_low_ratio_compression_metadata"),
        ratios=(1, 2),
        small=False,
    ),
    peer(
        "SGLang DeepSeek-V4.1 verify for TRT-LLM",
        VERIFY,
        (*LOW, TABLES),
        ratios=(1, 2),
        read_whole=True,
        tiles=True,
        **BEHIND,
    ),
)
