"""What one small decode step looks like, as plain arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.integer]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A step's inputs and outputs, whole buffers with their tails, and how much of them is live."""

    page: int
    window: int
    requests: int
    num_tokens: Ints  # [req]
    num_rejected: Ints  # [req]
    query_len: Ints  # [req]
    cu_seqlens: Ints  # [req + 1]
    seq_lens: Ints  # [req]
    page_table: Ints  # [req, page]
    positions: Ints  # [tok]
    slot_mapping: Ints  # [tok]
    window_indptr: Ints  # [tok + 1]
    window_indices: Ints  # [sum of window lengths]

    @property
    def tokens(self) -> int:
        """How many tokens are live."""
        return int(self.cu_seqlens[self.requests])

    def request_of(self, token: int) -> int:
        """The request that a live token belongs to."""
        return int(np.searchsorted(self.cu_seqlens[: self.requests + 1], token, side="right")) - 1

    def pages_of(self, request: int) -> int:
        """How many pages a request holds."""
        return -(-int(self.seq_lens[request]) // self.page)

    def window_of(self, token: int) -> Ints:
        """The slots that a token attends to, cut out of the packed list."""
        return self.window_indices[self.window_indptr[token] : self.window_indptr[token + 1]]

    def owners(self) -> dict[int, tuple[int, int]]:
        """Slot of the pool -> (request, position) whose key and value lie there."""
        return {
            int(self.page_table[request, at // self.page]) * self.page + at % self.page: (
                request,
                at,
            )
            for request in range(self.requests)
            for at in range(int(self.seq_lens[request]))
        }
