# pyright: basic
"""The chains of torch operations through torch.compile: once for fixed shapes, once as a user would call it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from bench.rivals import torch_ops

FILLS = ("paged_decode", "engine_step", "post_update", "v4_decode")


@cache
def compiled(name: str, dynamic: bool | None) -> Callable[..., None]:
    return torch.compile(getattr(torch_ops, name), dynamic=dynamic)


def forget() -> None:
    """Drop everything compiled: between two sizes, or torch gives up compiling after 8 of them and runs eagerly."""
    torch.compiler.reset()


def static(
    name: str, **config: Any
) -> Callable[[Mapping[str, Tensor], Mapping[str, Tensor]], None]:
    """``(inputs, out) -> None`` compiled for the shapes at capacity: compiles once, then never again."""
    return partial(compiled(name, False), **config)


def as_called(name: str, **config: Any) -> Callable[..., None]:
    """``torch.compile`` with its defaults, to be fed with tensors of the live size: it may compile again."""
    return partial(compiled(name, None), **config)


def live_part(
    inputs: Mapping[str, Tensor], out: Mapping[str, Tensor], requests: int, tokens: int
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The front of every tensor that follows the requests or the tokens, as a caller of ``as_called`` slices them.

    What lies behind the live part is not written then. Flat outputs (``*_indices``) keep their capacity: their live length is known to the device alone.
    """
    capacity = (inputs.get("query_len", inputs.get("num_scheduled")), out["positions"])
    assert capacity[0] is not None
    ends = {
        capacity[0].shape[0]: requests,
        capacity[0].shape[0] + 1: requests + 1,
        capacity[1].shape[0]: tokens,
        capacity[1].shape[0] + 1: tokens + 1,
    }
    skipped = ("kv_indices", "kv_page_indices", "window_indices", "logits_indices", "expanded")

    def front(name: str, value: Tensor, names: tuple[str, ...] | None) -> Tensor:
        if name.startswith(skipped) or (names is not None and name not in names):
            return value
        return value[: ends.get(value.shape[0], value.shape[0])]

    followers = tuple(n for n in PER_REQUEST if not (n == "block_table" and "table_row" in inputs))
    return (
        {name: front(name, value, followers) for name, value in inputs.items()},
        {name: front(name, value, None) for name, value in out.items()},
    )


PER_REQUEST = (
    *("num_tokens", "num_rejected", "query_len", "table_row"),
    *("idx_mapping", "num_scheduled", "num_draft"),
    *("ctx_sched", "num_blocks", "block_table", "group", "fork_src", "topk_local"),
)
