# pyright: basic
"""What a decode loop keeps on the device between steps."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from metaplan.plans.decode_loop import Settings


@dataclass(frozen=True, slots=True)
class State:
    """A row for each request; the addresses never change.

    Attributes:
        lengths: int32[rows], tokens in the KV cache: the true count.
        limits: int32[rows]; a row is live while its length is below.
        reserved: int32[rows], tokens for which it has pages.
        last_tokens: int64[rows], sampled last and not in the cache yet.
        draft_tokens: int64[rows, K], guessed to follow.
        block_table: int32[rows, pages], a row's pages in order.
    """

    lengths: torch.Tensor
    limits: torch.Tensor
    reserved: torch.Tensor
    last_tokens: torch.Tensor
    draft_tokens: torch.Tensor
    block_table: torch.Tensor

    @staticmethod
    def empty(settings: Settings, rows: int, device: torch.device) -> State:
        """No row is live."""

        def zeros(*shape: int, dtype: torch.dtype = torch.int32) -> torch.Tensor:
            return torch.zeros(*shape, dtype=dtype, device=device)

        return State(
            lengths=zeros(rows),
            limits=zeros(rows),
            reserved=zeros(rows),
            last_tokens=zeros(rows, dtype=torch.int64),
            draft_tokens=zeros(rows, settings.drafts, dtype=torch.int64),
            block_table=zeros(rows, settings.width),
        )

    def of(self, *names: str) -> dict[str, torch.Tensor]:
        """Some of them by name, as a plan takes them."""
        return {name: getattr(self, name) for name in names}
