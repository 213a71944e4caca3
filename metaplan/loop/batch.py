# pyright: basic
"""What the model of a decode loop is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Batch:
    """One step of the first ``rows`` rows, each with ``queries`` tokens; the same addresses at every step.

    Attributes:
        rows: b, the rows of the graph that is recorded.
        queries: q = K + 1 tokens of a row: the last sampled one, then the drafts.
        input_ids: int64[b * q]; any token where the row is padding.
        positions: int64[b * q].
        slot_mapping: int64[b * q], where the token's keys and values go: page * page size + place, or -1 for nowhere.
        seq_lens: int32[b], tokens in the cache once this step's are written; 0 where the row is padding.
        cu_seqlens_q: int32[b + 1], multiples of q.
        block_table: int32[b, pages], a row's pages in order.
        samples: int64[b * q], where the model may put what it sampled: that saves a copy.
        release: to be called by a model of a loop with ``overlap`` behind its last attention: nothing after it reads
            positions, slots, lengths or the block table, so that those of the next step are written beside it.
    """

    rows: int
    queries: int
    input_ids: torch.Tensor
    positions: torch.Tensor
    slot_mapping: torch.Tensor
    seq_lens: torch.Tensor
    cu_seqlens_q: torch.Tensor
    block_table: torch.Tensor
    samples: torch.Tensor
    release: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Sampled:
    """What a model returns that verifies by itself, or drafts.

    Attributes:
        tokens: int64[b, q] or [b * q]: the token sampled at each query.
        counts: int32[b], 1 to q: how many of them hold; else the leading drafts that equal them, and one more.
        drafts: int64[b, K] for the next step.
    """

    tokens: torch.Tensor
    counts: torch.Tensor | None = None
    drafts: torch.Tensor | None = None
