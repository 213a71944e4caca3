"""FlashInfer's page lists, as vLLM 0.33 prepares them for that backend.

The engine sums pages with NumPy, sends two arrays to the GPU and copies the page numbers there in one
more kernel (v1/attention/backends/flashinfer.py); with speculative decoding it first waits for the
lengths, because the host has only an upper bound. Here one launch reads the true lengths.
"""

from __future__ import annotations

from typing import Annotated

import metaplan as mp
from metaplan import i32
from metaplan.plans.shipped import Shipped


def vllm_flashinfer(
    *, page: int = 16, max_model_len: int = 131072, num_pages: int = 1 << 20
) -> mp.Plan:
    """The plan for one KV-cache group.

    Args:
        page: tokens a page.
        max_model_len: the longest sequence.
        num_pages: pages of the KV cache.
    """

    @mp.plan
    def vllm_flashinfer(
        seq_lens: Annotated[i32, "req", mp.between(0, max_model_len)],
        block_table: Annotated[i32, "req", "page", mp.below(num_pages)],
    ) -> mp.Outputs:
        req = mp.axis("req")
        entry = mp.ragged(req, mp.cdiv(seq_lens, page))
        rest = seq_lens % page
        return dict(
            paged_kv_indptr=entry.indptr,
            paged_kv_indices=block_table[req, entry.offset],
            paged_kv_last_page_len=mp.where((rest == 0) & (seq_lens != 0), page, rest),
        )

    return vllm_flashinfer


def shipped() -> tuple[Shipped, ...]:
    return (Shipped("vllm_flashinfer", vllm_flashinfer, {"req": 1024, "entry": 1 << 20}),)
