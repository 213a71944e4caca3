# pyright: basic
"""The oracles' named arrays as the named tensors that a rival takes: requests padded to capacity with garbage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

GARBAGE = 77
PER_REQUEST = (
    *("num_tokens", "num_rejected", "query_len", "table_row"),
    *("idx_mapping", "num_scheduled", "num_draft", "num_sampled", "sampled_tokens"),
    *("new_draft_tokens", "ctx_sched", "num_blocks", "block_table", "group", "fork_src"),
)


def device_inputs(inputs: Mapping[str, Any], requests: int, tokens: int) -> dict[str, torch.Tensor]:
    """Inputs at capacity; integers become ``int32[1]``."""
    return {
        name: torch.tensor([value], dtype=torch.int32)
        if isinstance(value, int)
        else torch.from_numpy(_padded(name, value, inputs, requests, tokens))
        for name, value in inputs.items()
    }


def _padded(name: str, value: np.ndarray, inputs: Mapping[str, Any], requests: int, tokens: int):
    rows = len(value)
    if name == "topk_local":
        rows = tokens
    elif name == "query_start_loc":
        rows = requests + 1
    elif name in PER_REQUEST and not (name == "block_table" and "table_row" in inputs):
        rows = requests
    out = np.full((rows, *value.shape[1:]), GARBAGE, value.dtype)
    out[: len(value)] = value
    return out


def tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}


def arrays(out: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in out.items()}
