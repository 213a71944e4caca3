# pyright: basic
"""State slots of linear attention: SGLang's own backend before a graph's replay, beside one launch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from metaplan.plans.sglang_mamba import sglang_mamba
from tests.peers.engines import sglang
from tests.peers.peer import Batch, Peer, Setup, Tensors, Theirs
from tests.peers.sglang_parts import made, named, rows_of

REQ, POOL, SLOTS, LONGEST, INTERVAL = 6, 9, 12, 160, 8
BACKEND = "srt/layers/attention/hybrid_linear_attn_backend.py"
KERNEL = "kernels/ops/mamba/mamba_state_indices_triton.py"
Options = Mapping[str, Any]


def inputs(
    rng: np.random.Generator, valid: int, total: int, pool: int, slots: int, options: Options
) -> dict[str, Any]:
    """A graph of ``total`` rows, ``valid`` of them real; slot 0 is the padding's, as row 0 of the pool is."""
    own: dict[str, Any] = dict(
        valid=valid,
        req_pool_indices=rows_of(rng, total, pool),
        mamba_index_mapping=np.append(0, rng.permutation(slots - 1)[: pool - 1] + 1).astype("i4"),
        mamba_track_indices=rng.integers(0, slots, total),
    )
    if options.get("v2p"):
        own["mamba_v2p"] = np.append(0, rng.permutation(slots - 1) + 1)
    if options.get("tree"):
        query = options["query"]
        for link in ("retrieve_next_token", "retrieve_next_sibling"):
            own[link] = rng.integers(-1, query, (total, query))
    if options.get("ring"):
        seq_lens = rng.integers(1, LONGEST + 1, total)
        seq_lens[valid:] = 1
        seq_lens[: valid // 2] -= seq_lens[: valid // 2] % INTERVAL
        own["seq_lens"] = np.maximum(seq_lens, 1)
        own["replayssm_write_pos"] = rng.integers(0, options["ring"], slots).astype(np.int32)
    return own


def batches(options: Options) -> Callable[[np.random.Generator], Iterator[Batch]]:
    def steps(rng: np.random.Generator) -> Iterator[Batch]:
        for total in range(1, REQ + 1):
            for valid in sorted({0, 1, total // 2, total}):
                own = inputs(rng, valid, total, POOL, SLOTS, options)
                yield Batch(own, {"req": total}, f"{valid} of {total} rows are real")

    return steps


def bench(options: Options) -> Callable[[int, int], tuple[Setup, Batch]]:
    def at(count: int, query: int) -> tuple[Setup, Batch]:
        own = dict(options)
        if own.get("query", 1) > 1:
            own["query"] = max(query, 2)
        rng = np.random.default_rng(0)
        given = inputs(rng, count, count, 1025, 2048, own)
        plan = lambda: sglang_mamba(  # noqa: E731
            states=1025, num_slots=2048, interval=INTERVAL, max_model_len=LONGEST, **own
        )
        return Setup(plan, sizes(own, count, 1025, 2048)), Batch(given, {"req": count}, extra=own)

    return at


def sizes(options: Options, req: int, pool: int, slots: int) -> dict[str, int]:
    own = {"req": req, "state": pool}
    return {**own, "slot": slots} if options.get("v2p") or options.get("ring") else own


def replayed(options: Options) -> Any:
    """The backend's preparation of a graph's replay, with its kernel or, where it has a ring, in torch."""

    def theirs(
        batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
    ) -> Theirs:
        module = sglang().module(BACKEND)
        module.get_exec = lambda: named(mamba=named(mamba_track_interval=INTERVAL))
        module._validate_mamba_replay_state_indices = False
        total, valid = batch.live["req"], int(batch.inputs["valid"])
        query = {**options, **batch.extra}.get("query", 1)
        rows, mapping = given["req_pool_indices"].clone(), given["mamba_index_mapping"]
        v2p, ring, tree = given.get("mamba_v2p"), options.get("ring"), options.get("tree", False)
        cursors = given["replayssm_write_pos"].clone() if ring else None
        seq_lens_cpu = torch.from_numpy(np.asarray(batch.inputs["seq_lens"])) if ring else None

        def ints(*shape: int) -> torch.Tensor:
            return torch.zeros(shape, dtype=torch.int32, device=device)

        def at(buffer: torch.Tensor) -> dict[int, torch.Tensor]:
            return {total - 1: buffer}

        pool = named(
            req_index_to_mamba_index_mapping=mapping,
            mamba_v2p_table=v2p,
            get_mamba_indices=lambda rows: mapping[rows],
            translate_mamba_indices=lambda slots: slots if v2p is None else v2p[slots],
            mamba_pool=named(
                replayssm_write_pos=cursors,
                replayssm_is_kda=False,
                linear_replayssm_cache_len=ring,
            ),
        )
        links = [ints(total, query)] * 2
        if tree:
            names = [f"retrieve_next_{n}_rows" for n in ("token", "sibling")]
            links = [before[n][:total].clone() for n in names]
        steps = torch.arange(total + 1, dtype=torch.int32, device=device)
        own = made(
            module.MambaAttnBackendBase,
            req_to_token_pool=pool,
            device=device,
            topk=2 if tree else 1,
            _fused_state_indices_ok=True,
            state_indices_list=at(ints(total)),
            query_start_loc_list=at(ints(total + 1)),
            mamba_track_indices_buf=torch.zeros(total, dtype=torch.int64, device=device),
            replayssm_write_pos_list=at(ints(total)) if ring else None,
            replayssm_force_flush_list=at(ints(total)) if ring else None,
            cached_cuda_graph_decode_query_start_loc=steps,
            cached_cuda_graph_verify_query_start_loc=steps * query,
            retrieve_next_token_list=at(links[0]),
            retrieve_next_sibling_list=at(links[1]),
            retrieve_parent_token_list=at(links[0]),
        )
        mode = named(is_decode_or_idle=lambda: query == 1, is_target_verify=lambda: query > 1)
        spec = named(ragged_verify_layout=None, draft_token_num=query)
        if tree:
            spec.retrieve_next_token = given["retrieve_next_token"][:valid]
            spec.retrieve_next_sibling = given["retrieve_next_sibling"][:valid]

        def call() -> None:
            own._replay_metadata(
                total,
                rows,
                mode,
                spec,
                seq_lens_cpu,
                num_padding=total - valid,
                mamba_track_indices=given["mamba_track_indices"],
            )

        def read() -> Mapping[str, Any]:
            said = dict(
                state_indices=own.state_indices_list[total - 1],
                query_start_loc=own.query_start_loc_list[total - 1],
                track_indices=own.mamba_track_indices_buf,
                req_pool_indices=rows,
            )
            if tree:
                said["retrieve_next_token_rows"], said["retrieve_next_sibling_rows"] = links
            if ring:
                said["write_pos"] = own.replayssm_write_pos_list[total - 1]
                said["force_flush"] = own.replayssm_force_flush_list[total - 1]
                said["replayssm_write_pos"] = cursors
            return said

        return Theirs(call, read, captured=not ring)

    return theirs


def peer(name: str, fused: bool, **options: Any) -> Peer:
    kernel = (f"{KERNEL}:fused_replay_state_indices",) if fused else ()
    plan = lambda: sglang_mamba(  # noqa: E731
        states=POOL, num_slots=SLOTS, interval=INTERVAL, max_model_len=LONGEST, **options
    )
    return Peer(
        name=name,
        engine="sglang",
        plan="sglang_mamba",
        replaces=(f"{BACKEND}:MambaAttnBackendBase._replay_metadata", *kernel),
        setup=Setup(plan, sizes(options, REQ, POOL, SLOTS)),
        batches=batches(options),
        theirs=replayed(options),
        bench=bench(options),
    )


PEERS = (
    peer("SGLang Mamba states of a decode graph", True),
    peer("SGLang Mamba states of a unified pool", True, v2p=True),
    peer("SGLang Mamba states of a verified tree", True, v2p=True, query=4, tree=True),
    peer("SGLang linear-attention states with a ring", False, ring=16),
)
