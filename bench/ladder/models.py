# pyright: basic
"""Models with random weights, at the sizes of known ones: nothing is downloaded."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig

# A pad token in the config makes every forward without a mask look for it, and wait.
TOKENS = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}


def gpt2() -> GPT2Config:
    """GPT-2 small, 124 M weights."""
    return GPT2Config(**TOKENS)


def llama() -> LlamaConfig:
    """The shape of Llama 3.2 1B: 1.2 G weights, 32 heads on 8 KV heads."""
    return LlamaConfig(
        vocab_size=128256, hidden_size=2048, intermediate_size=8192, num_hidden_layers=16,
        num_attention_heads=32, num_key_value_heads=8, head_dim=64, tie_word_embeddings=True,
        max_position_embeddings=131072, rope_parameters={"rope_type": "default", "rope_theta": 5e5},
        **TOKENS,
    )  # fmt: skip


def tiny() -> GPT2Config:
    return GPT2Config(vocab_size=97, n_embd=32, n_layer=2, n_head=4, n_positions=256, **TOKENS)


CONFIGS = {"gpt2": gpt2, "llama": llama, "tiny": tiny}


def build(name: str, device: str, dtype: torch.dtype, seed: int = 0) -> Any:
    """The same weights for the same name, device and dtype."""
    torch.manual_seed(seed)
    with torch.device(device):
        return AutoModelForCausalLM.from_config(CONFIGS[name](), dtype=dtype).eval()
