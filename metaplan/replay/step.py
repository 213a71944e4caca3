"""What the scheduler decides for one step and what the GPU then does with it: plain records."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Admission:
    """A request takes a row of the state tables, and its prompt is written there."""

    request: int
    state: int
    prompt: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class PageWrites:
    """Cells of one group's block table that the host writes before the step: table[state, column]."""

    state: NDArray[np.int64]
    column: NDArray[np.int64]
    page: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Step:
    """One step; the rows of the batch are decodes first, then chunks of prompts.

    The host runs one step behind: it knows ``computed_upper``, the GPU knows ``computed``, and
    they differ by the drafts that the step before rejected.
    """

    index: int
    seconds: float
    departed: NDArray[np.int64]
    """states whose requests are over: their pages are free again"""
    admitted: tuple[Admission, ...]
    page_writes: tuple[PageWrites, ...]
    """of each group of Settings.all_groups"""
    freed: tuple[NDArray[np.int32], ...]
    """pages of each group that came back before this step took its own"""

    num_decodes: int
    request: NDArray[np.int64]
    """int64[row], index of the request in the trace"""
    state: NDArray[np.int64]
    """int64[row], row of the state tables"""
    query_len: NDArray[np.int32]
    num_draft: NDArray[np.int32]
    computed: NDArray[np.int32]
    """int32[row], tokens in the KV cache before the step, as the GPU knows"""
    computed_upper: NDArray[np.int32]
    """int32[row], the same as the host must assume"""

    num_sampled: NDArray[np.int32]
    """int32[row], tokens that sampling keeps: accepted drafts and one more; 0 inside a prompt"""
    num_rejected: NDArray[np.int32]
    sampled_tokens: NDArray[np.int64]
    """int64[row, drafts + 1]"""
    new_draft_tokens: NDArray[np.int64]
    """int64[row, drafts]"""
    delivered: NDArray[np.int32]
    """int32[row], sampled tokens that belong to the answer: nothing after its end"""

    @property
    def num_tokens(self) -> int:
        """Query tokens of the step."""
        return int(self.query_len.sum())
