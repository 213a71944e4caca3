# pyright: basic
"""A Llama decoder with random weights, whose decode step a CUDA graph can hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as nn
import triton

from bench.loops import kernels

TILE = 64  # keys that attention reads at a time


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a decoder: ``inner`` of its gated layers, ``head`` of one attention head."""

    layers: int
    hidden: int
    inner: int
    heads: int
    kv_heads: int
    head: int
    vocabulary: int

    @property
    def kv_bytes(self) -> int:
        """Of one token, all layers, in bfloat16."""
        return self.layers * 2 * self.kv_heads * self.head * 2


SHAPES = {
    "tiny": Shape(2, 64, 96, 2, 1, 16, 509),
    "0.6b": Shape(28, 1024, 3072, 16, 8, 128, 151936),  # Qwen3's 0.6B
    "8b": Shape(32, 4096, 14336, 32, 8, 128, 128256),  # Llama 3's 8B
}


class Weights:
    """Random weights, the same at every call: float32 on a CPU, bfloat16 on a GPU."""

    def __init__(self, shape: Shape, device: str) -> None:
        self.shape, self.device = shape, device
        self.dtype = torch.float32 if device == "cpu" else torch.bfloat16
        torch.manual_seed(0)
        heads = (shape.heads + 2 * shape.kv_heads) * shape.head
        self.layers = [
            {
                "qkv": self._matrix(heads, shape.hidden),
                "out": self._matrix(shape.hidden, shape.heads * shape.head),
                "gate": self._matrix(2 * shape.inner, shape.hidden),
                "down": self._matrix(shape.hidden, shape.inner),
            }
            for _ in range(shape.layers)
        ]
        self.norm = torch.ones(shape.hidden, device=device, dtype=self.dtype)
        self.embedding = torch.randn(
            shape.vocabulary, shape.hidden, device=device, dtype=self.dtype
        )
        self.last = self._matrix(shape.vocabulary, shape.hidden)

    def _matrix(self, rows: int, columns: int) -> torch.Tensor:
        made = torch.randn(rows, columns, device=self.device, dtype=self.dtype)
        return made * columns**-0.5


class Llama:
    """The decoder over a KV cache of ``pages`` pages, for ``rows`` requests of one token each."""

    def __init__(
        self, weights: Weights, rows: int, page: int, pages: int, longest: int, prompt: int
    ) -> None:
        shape, device = weights.shape, weights.device
        self.weights, self.shape, self.rows, self.page = weights, shape, rows, page
        self.slots = pages * page
        kind: dict[str, Any] = {"device": device, "dtype": weights.dtype}
        kept = (shape.kv_heads, shape.head)
        self.cache = torch.zeros(shape.layers, 2, self.slots, *kept, **kind)
        torch.manual_seed(1)
        self.prompt = torch.randn(shape.layers, 2, prompt, *kept, **kind)
        self.turns = _turns(longest, shape.head, device)
        # About two programs for each of an H200's 132 multiprocessors; the interpreter has one.
        programs = 2 * rows * shape.kv_heads if device == "cpu" else 264
        self.splits = min(triton.next_power_of_2(max(programs // (rows * shape.kv_heads), 1)), 32)
        self.group = max(16, triton.next_power_of_2(shape.heads // shape.kv_heads))
        parts = rows * shape.kv_heads * self.splits * self.group
        self.sums = torch.empty(parts * shape.head, device=device)
        self.tops = torch.empty(2 * parts, device=device)

    def __call__(
        self,
        input_ids: torch.Tensor,
        positions: torch.Tensor,
        slot_mapping: torch.Tensor,
        seq_lens: torch.Tensor,
        block_table: torch.Tensor,
        attended: Callable[[], None] = lambda: None,
        *,
        out: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The likeliest next token of each row, in ``out`` where it is given: ``int64[rows]``.

        ``attended`` is called behind the last attention: nothing after it reads the metadata.
        """
        weights, rows = self.weights, len(input_ids)
        residual = nn.embedding(input_ids, weights.embedding)
        normed, more = torch.empty_like(residual), residual
        for layer, cache in zip(weights.layers, self.cache, strict=True):
            self._norm(more, residual, normed)
            qkv = nn.linear(normed, layer["qkv"])
            seen = self._attention(qkv, cache, positions, slot_mapping, seq_lens, block_table, rows)
            if layer is weights.layers[-1]:
                attended()
            self._norm(nn.linear(seen, layer["out"]), residual, normed)
            more = nn.linear(self._gate(nn.linear(normed, layer["gate"])), layer["down"])
        self._norm(more, residual, normed)
        return torch.argmax(nn.linear(normed, weights.last), -1, out=out)

    def _norm(self, more: torch.Tensor, residual: torch.Tensor, out: torch.Tensor) -> None:
        width = self.shape.hidden
        block = triton.next_power_of_2(width)
        add = more is not residual
        kernels.add_norm[(len(out),)](more, residual, self.weights.norm, out, add, width, block)

    def _attention(
        self,
        qkv: torch.Tensor,
        cache: torch.Tensor,
        positions: torch.Tensor,
        slot_mapping: torch.Tensor,
        seq_lens: torch.Tensor,
        block_table: torch.Tensor,
        rows: int,
    ) -> torch.Tensor:
        shape = self.shape
        heads, kv_heads, head = shape.heads, shape.kv_heads, shape.head
        queries = qkv.new_empty(rows, heads * head)
        kernels.rotate_and_store[(rows, heads + 2 * kv_heads)](
            qkv, self.turns, positions, slot_mapping, queries, cache, self.slots,
            heads, kv_heads, head // 2,
        )  # fmt: skip
        kernels.attend[(rows, kv_heads, self.splits)](
            queries, cache, block_table, seq_lens, self.sums, self.tops, self.slots,
            block_table.stride(0), heads, kv_heads, head, self.page, self.splits, self.group,
            TILE, head**-0.5,
        )  # fmt: skip
        out = torch.empty_like(queries)
        kernels.combine[(rows, heads)](
            self.sums, self.tops, out, heads, kv_heads, head, self.splits, self.group
        )
        return out

    def _gate(self, both: torch.Tensor) -> torch.Tensor:
        inner = self.shape.inner
        out = both.new_empty(len(both), inner)
        kernels.gate[(len(both), triton.cdiv(inner, 1024))](both, out, inner, 1024)
        return out

    def prefill(self, pages: np.ndarray, start: int, length: int) -> None:
        """Stands for a prompt's own pass: ``length`` ready tokens into ``pages``, on the current stream."""
        ready = torch.from_numpy(np.ascontiguousarray(pages, np.int32))
        if self.weights.device != "cpu":
            ready = ready.pin_memory().to(self.weights.device, non_blocking=True)
        width, tile = self.shape.kv_heads * self.shape.head, 4
        kernels.copy_prompt[(2 * self.shape.layers, triton.cdiv(length, tile))](
            self.prompt, self.cache, ready, start, length, self.prompt.shape[2], self.slots,
            self.page, width, tile, triton.next_power_of_2(width),
        )  # fmt: skip


def _turns(longest: int, head: int, device: str) -> torch.Tensor:
    """Cosines, then sines of every position: ``float32[longest, head]``."""
    slow = 1e4 ** (-torch.arange(0, head, 2, device=device) / head)
    angle = torch.arange(longest, device=device)[:, None] * slow
    return torch.cat([angle.cos(), angle.sin()], 1).contiguous()
