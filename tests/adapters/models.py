# pyright: basic
"""Random models of a few thousand weights, one for each way in which layers attend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    OPTConfig,
    PhiConfig,
    Qwen2Config,
    Qwen3Config,
)

VOCABULARY, LONGEST = 61, 192
SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": LONGEST,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
HEADS = {"head_dim": 8}


def gpt2() -> GPT2Config:
    return GPT2Config(
        vocab_size=VOCABULARY, n_embd=32, n_layer=3, n_head=4, n_positions=LONGEST,
        bos_token_id=None, eos_token_id=None,
    )  # fmt: skip


def opt() -> OPTConfig:
    return OPTConfig(
        vocab_size=VOCABULARY, hidden_size=32, ffn_dim=48, num_hidden_layers=2,
        num_attention_heads=4, max_position_embeddings=LONGEST, word_embed_proj_dim=32,
        bos_token_id=None, eos_token_id=None, pad_token_id=1,
    )  # fmt: skip


CONFIGS: dict[str, Callable[[], Any]] = {
    "gpt2": gpt2,
    "llama": lambda: LlamaConfig(**SMALL),
    "qwen2": lambda: Qwen2Config(**SMALL),
    "qwen3": lambda: Qwen3Config(**SMALL, **HEADS),
    "phi": lambda: PhiConfig(**SMALL),
    "opt": opt,
    "mistral, a window on each layer": lambda: MistralConfig(**SMALL, sliding_window=9),
    "gemma2, a window on every other": lambda: Gemma2Config(
        **SMALL, **HEADS, sliding_window=7, attn_implementation="eager"
    ),
}
"""Each kind of model: learned positions or rotary, grouped heads, windows, masks by kind of layer."""


def model(name: str, seed: int = 0, device: str = "cpu", **changed: Any) -> Any:
    """A model with weights that make its choices vary, in fp32 unless ``dtype`` is given."""
    torch.manual_seed(seed)
    dtype = changed.pop("dtype", torch.float32)
    config = CONFIGS[name]()
    for key, value in changed.items():
        setattr(config, key, value)
    made = AutoModelForCausalLM.from_config(config).to(device, dtype).eval()
    with torch.no_grad():
        for weight in made.parameters():
            if weight.ndim > 1:
                weight.mul_(4)
    return made
