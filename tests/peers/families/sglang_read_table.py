# pyright: basic
"""Reads of a unified pool: SGLang's own translator beside one launch for its tables and lists."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any
from unittest import mock

import torch

from metaplan.lang.plan import Plan
from metaplan.plans.sglang_pool import Pool
from metaplan.plans.sglang_read_table import sglang_read_table
from tests.peers.engines import sglang
from tests.peers.peer import Batch, Tensors, Theirs
from tests.peers.sglang_parts import named, translator
from tests.peers.sglang_steps import Case

READER = "srt/mem_cache/kv_index_translator.py:KVIndexTranslator"
TABLE = "kernels/ops/kvcache/kv_read_table.py"


@contextlib.contextmanager
def kernels(device: str) -> Iterator[None]:
    """The engine runs its kernels for tensors of a GPU; on a CPU this says that they are."""
    claims = mock.patch.object(torch.Tensor, "is_cuda", new=True)
    with claims if device == "cpu" else contextlib.nullcontext():
        yield


def theirs(batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str) -> Theirs:
    n, pool, ahead = batch.live["req"], batch.extra["pool"], batch.extra["ahead"][0]
    kinds = sglang().module("srt/mem_cache/kv_loc_plan.py").IdSpaceKind
    reader = translator(given["req_to_token"], given)
    reader.page_size, reader.device = pool.page, device
    reader._rows = torch.arange(pool.rows, device=device)
    own = {k: torch.zeros_like(x) if "indptr" in k else x.clone() for k, x in before.items()}
    plan = named(
        req_pool_indices=given["req_pool_indices"],
        seq_lens=given["seq_lens"],
        seq_lens_cpu=None,
        read_extent=ahead,
        has_read_table=lambda *_, **__: False,
        is_read_by=lambda _: True,
    )
    tables = {"page_table": kinds.FULL, "swa_page_table": kinds.SLIDING_WINDOW}

    def stream(name: str, kind: Any, lengths: torch.Tensor, first: torch.Tensor | None) -> None:
        indptr = own[f"{name}kv_indptr"][: n + 1]
        indptr[1:] = torch.cumsum(lengths, dim=0)
        reader.pack_read_stream(
            plan,
            req_pool_indices=plan.req_pool_indices,
            seq_lens=lengths,
            indptr=indptr,
            out=own[f"{name}kv_indices"],
            kv_start_idx=first,
            kind=kind,
        )

    def call() -> None:
        with kernels(device):
            for name, kind in tables.items():
                if name in own:
                    space = reader.space(kind)
                    rows = own[name].shape[0]
                    reader.build_iteration_table(
                        plan, space, rows=rows, previous=None, into=own[name]
                    )
            if "kv_indices" in own:
                lengths = given["seq_lens"] + ahead
                stream("", kinds.FULL, lengths, None)
                if "window_kv_indices" in own:
                    seen = torch.clamp(lengths, max=batch.extra["window"] + 1)
                    stream("window_", kinds.SLIDING_WINDOW, seen, lengths - seen)

    def read() -> Mapping[str, Any]:
        return {k: x[: n + 1] if "indptr" in k else x for k, x in own.items()}

    return Theirs(call, read)


def declare(pool: Pool, extra: Mapping[str, Any]) -> Plan:
    return sglang_read_table(
        pool=pool, ahead=extra["ahead"][0], window=extra["window"], lists=extra["lists"]
    )


def verified(query: int) -> dict[str, Any]:
    return dict(ahead=(query,), window=0, lists=False)


CASES = (
    Case(
        name="SGLang reads of a unified pool",
        plan="sglang_read_table",
        replaces=(
            f"{READER}.build_iteration_table",
            f"{READER}.pack_read_stream",
            f"{TABLE}:build_kv_read_table",
            f"{TABLE}:build_kv_read_table_packed",
        ),
        theirs=theirs,
        declare=declare,
        pool=dict(unified=True, moved=True),
        extra=dict(ahead=(0,), window=16, lists=True),
        served=lambda _: dict(ahead=(0,), window=1024, lists=True),
    ),
    Case(
        name="SGLang page table of a unified pool, verify",
        plan="sglang_read_table",
        replaces=(f"{READER}.build_iteration_table", f"{TABLE}:build_kv_read_table"),
        theirs=theirs,
        declare=declare,
        pool=dict(unified=True),
        extra=verified(5),
        served=verified,
    ),
)
PEERS = tuple(case.peer() for case in CASES)
