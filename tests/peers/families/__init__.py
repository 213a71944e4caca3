# pyright: basic
"""One file for each family of plans; each has a tuple ``PEERS``."""

from __future__ import annotations

from importlib import import_module

from tests.peers.peer import Peer

FAMILIES = (
    "vllm_flashinfer",
    "vllm_flashinfer_mixed",
    "vllm_local",
    "vllm_attention",
    "vllm_tokens",
    "vllm_eagle",
    "vllm_drafts",
    "vllm_sparse",
    "vllm_indexer",
    "vllm_deepseek_v4",
    "vllm_mamba",
    "vllm_gdn_mixed",
    "schedules",
    "flashinfer_split",
    "moe",
    "sglang_flashinfer",
    "sglang_flashinfer_pages",
    "sglang_eagle_draft",
    "sglang_eagle_verify",
    "sglang_eagle_commit",
    "sglang_dsa",
    "sglang_dsa_topk",
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
)


def peers() -> dict[str, Peer]:
    """Every peer by name."""
    every = [p for f in FAMILIES for p in import_module(f"tests.peers.families.{f}").PEERS]
    assert len({p.name for p in every}) == len(every), "a name is used twice"
    return {p.name: p for p in every}
