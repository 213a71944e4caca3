# pyright: basic
"""Attention of one token a row, grouped by KV head, where transformers would repeat keys and values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import torch


@contextmanager
def grouped_attention() -> Iterator[None]:
    """Within it, transformers' ``sdpa`` reads each KV head once for all query heads that share it."""
    functions = import_module("transformers.modeling_utils").ALL_ATTENTION_FUNCTIONS
    before = functions["sdpa"]
    functions["sdpa"] = _grouped(before)
    try:
        yield
    finally:
        del functions["sdpa"]
        if functions["sdpa"] is not before:
            functions["sdpa"] = before


def _grouped(otherwise: Callable[..., Any]) -> Callable[..., Any]:
    def attention(
        module: torch.nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        dropout: float = 0.0,
        scaling: float | None = None,
        is_causal: bool | None = None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, None]:
        rows, heads, queries, _ = query.shape
        shared = heads // key.shape[1]
        biased = kwargs.get("position_bias") is not None
        if queries != 1 or shared == 1 or biased or attention_mask is None:
            return otherwise(
                module, query, key, value, attention_mask,
                dropout=dropout, scaling=scaling, is_causal=is_causal, **kwargs,
            )  # fmt: skip
        out = torch.nn.functional.scaled_dot_product_attention(
            query.reshape(rows, heads // shared, shared, -1),
            key,
            value,
            attn_mask=attention_mask,
            dropout_p=dropout,
            scale=scaling,
        )
        return out.reshape(rows, 1, heads, -1), None

    return attention
