# pyright: basic
"""A static KV cache whose place of writing is computed by a plan, and not counted by the cache."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any

import torch


@dataclass
class Place:
    """Where a decode step writes and how much it reads; ``column`` None while a prompt is read."""

    column: torch.Tensor | None = None
    width: int = 0


def static_cache(layers: int, *, rows: int, columns: int, place: Place) -> Any:
    """transformers' Cache of ``layers`` layers, each two tensors [rows, heads, columns, head_dim].

    They are allocated when a layer is first written and keep their addresses. A prompt goes to the
    columns 0..n-1 of the first rows, a decode step to ``place.column``; no counter is kept, so that
    recording or repeating a step changes nothing. What is left of an earlier call is masked.
    """
    cache = import_module("transformers.cache_utils").Cache
    made = _layer()
    return cache(layers=[made(rows, columns, place) for _ in range(layers)])


@lru_cache
def _layer() -> Any:
    """The class of a layer, made where transformers is there."""
    base = import_module("transformers.cache_utils").CacheLayerMixin

    class PlacedLayer(base):
        is_compileable = True
        is_sliding = False

        def __init__(self, rows: int, columns: int, place: Place) -> None:
            super().__init__()
            self.rows, self.columns, self.place = rows, columns, place

        def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
            self.keys = self._room(key_states)
            self.values = self._room(value_states)
            self.is_initialized = True

        def _room(self, states: torch.Tensor) -> torch.Tensor:
            return states.new_zeros((self.rows, states.shape[1], self.columns, states.shape[3]))

        def update(
            self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
        ) -> tuple[torch.Tensor, torch.Tensor]:
            if not self.is_initialized:
                self.lazy_initialization(key_states, value_states)
            rows, _, count, _ = key_states.shape
            keys, values = self.keys[:rows], self.values[:rows]
            column, width = self.place.column, self.place.width
            if column is None:
                keys[:, :, :count].copy_(key_states)
                values[:, :, :count].copy_(value_states)
                return key_states, value_states
            keys.index_copy_(2, column, key_states)
            values.index_copy_(2, column, value_states)
            return keys[:, :, :width], values[:, :, :width]

        def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
            return query_length, 0

        def get_seq_length(self) -> int:
            """0: only a prompt asks, a decode step brings its positions and masks."""
            return 0

        def get_max_length(self) -> int:
            return self.columns

    return PlacedLayer
