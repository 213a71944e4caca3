"""The shipped plans, written in the language like anybody's: one family a file."""

from __future__ import annotations

from importlib import import_module

from metaplan.plans.shipped import Shipped as Shipped

FAMILIES = (
    "decode_slots",
    "paged_decode",
    "engine_step",
    "v4_rows",
    "schedules",
    "flash_mla",
    "moe",
    "decode_loop",
    "decode_pages",
    "vllm_flashinfer",
    "sglang_flashinfer",
    "sglang_eagle",
    "sglang_dsa",
    "sglang_dsv4",
    "sglang_dsv4_prefill",
    "sglang_mamba",
    "sglang_msa",
    "sglang_prefix_chunks",
    "sglang_fa3_tree",
    "sglang_alloc",
    "sglang_aiter",
    "sglang_prefill_window",
    "sglang_read_table",
    "sglang_trtllm",
    "sglang_fa3_local",
    "sglang_fa3",
    "sglang_triton",
    "vllm_eagle",
    "vllm_drafts",
    "vllm_sparse",
    "vllm_indexer",
    "vllm_deepseek_v4",
    "vllm_mamba",
    "vllm_local",
    "vllm_attention",
    "vllm_tokens",
    "transformers_decode",
)
"""The modules of this folder; each has a function ``shipped()`` that lists its plans."""


def shipped() -> dict[str, Shipped]:
    """Every shipped plan by name: at 1024 requests x 8 query tokens, the README's at 256 x 4."""
    every: list[Shipped] = []
    for family in FAMILIES:
        every += import_module(f"metaplan.plans.{family}").shipped()
    return {s.name: s for s in every}
