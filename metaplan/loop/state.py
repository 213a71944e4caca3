# pyright: basic
"""What a decode loop keeps on the device between steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from metaplan.plans.decode_loop import Settings
from metaplan.runtime.buffers import LEAST, allocate
from metaplan.runtime.layout import Field

INPUTS = ("input_ids", "positions", "slot_mapping", "seq_lens")
"""What ``decode_prepare`` writes and the model reads."""


@dataclass(frozen=True, slots=True)
class State:
    """A row for each request; the addresses never change.

    All of it is one block, what each layer of a model reads in front: of a small batch that is a line or two, which a
    layer finds in memory with one wait, not with one for each.

    Attributes:
        lengths: int32[rows], tokens in the KV cache: the true count.
        limits: int32[rows]; a row is live while its length is below.
        reserved: int32[rows], tokens for which it has pages.
        last_tokens: int64[rows], sampled last and not in the cache yet.
        draft_tokens: int64[rows, K], guessed to follow.
        block_table: int32[rows, pages], a row's pages in order.
        inputs: ``INPUTS`` by name, [rows, q] each; seq_lens [rows].
    """

    lengths: torch.Tensor
    limits: torch.Tensor
    reserved: torch.Tensor
    last_tokens: torch.Tensor
    draft_tokens: torch.Tensor
    block_table: torch.Tensor
    inputs: Mapping[str, torch.Tensor]

    @staticmethod
    def empty(settings: Settings, rows: int, device: torch.device) -> State:
        """No row is live."""
        tokens = (rows, settings.queries)
        held = allocate(
            [
                Field("seq_lens", "i32", (rows,)),
                Field("slot_mapping", "i64", tokens),
                Field("positions", "i64", tokens),
                Field("block_table", "i32", (rows, settings.width)),
                Field("input_ids", "i64", tokens),
                Field("last_tokens", "i64", (rows,)),
                Field("draft_tokens", "i64", (rows, settings.drafts)),
                *(Field(name, "i32", (rows,)) for name in ("lengths", "limits", "reserved")),
            ],
            device,
            align=LEAST,
        )
        own = {name: tensor for name, tensor in held.items() if name not in INPUTS}
        return State(**own, inputs={name: held[name] for name in INPUTS})

    def of(self, *names: str) -> dict[str, torch.Tensor]:
        """Some of them by name, as a plan takes them."""
        return {name: getattr(self, name) for name in names}
