# pyright: basic
"""The three plans of a loop, compiled and bound to its state."""

from __future__ import annotations

from typing import Any

import torch

from metaplan.loop.changes import Changes
from metaplan.loop.state import State
from metaplan.plans.decode_loop import Settings, decode_change, decode_commit, decode_prepare
from metaplan.runtime.step import Step


class Plans:
    """``change`` before a step where the host changed something; ``prepare`` and ``commit`` around the model."""

    def __init__(
        self,
        settings: Settings,
        state: State,
        results: torch.Tensor,
        *,
        counted: bool,
        drafted: bool,
        lag: int,
    ) -> None:
        slots, rows, _ = results.shape
        device = state.lengths.device
        where = {"device": str(device), "lag": lag}
        every = {"row": rows, "page": settings.width}
        number = torch.full((1,), rows, dtype=torch.int32, device=device)
        drafts = state.of("draft_tokens") if settings.drafts else {}

        def zeros(*shape: int, dtype: torch.dtype) -> torch.Tensor:
            return torch.zeros(*shape, dtype=dtype, device=device)

        self.samples = zeros(rows, settings.queries, dtype=torch.int64)
        self.counts = torch.ones(rows, dtype=torch.int32, device=device)
        self.next_drafts = zeros(rows, settings.drafts, dtype=torch.int64)
        self.turn = zeros(rows, dtype=torch.int32)

        self.prepare: Step = decode_prepare(settings).compile(**every, **where)
        self.prepare.bind(
            **state.of("lengths", "limits", "reserved", "last_tokens", "block_table"),
            **drafts,
            row=number,
        )
        commit = decode_commit(settings, slots=slots, counted=counted, drafted=drafted)
        given: dict[str, Any] = {"counts": self.counts} if counted else {}
        if settings.drafts and not counted:
            given["input_ids"] = self.prepare.outputs["input_ids"]
        if drafted:
            given |= {"next_drafts": self.next_drafts, **drafts}
        self.commit: Step = commit.compile(row=rows, **where)
        self.commit.bind(
            tokens=self.samples,
            **state.of("lengths", "limits", "last_tokens"),
            turn=self.turn,
            results=results,
            row=number,
            **given,
        )
        self.cells = max(settings.width, 4 * rows)
        sizes = {**every, "entry": rows, "patch": rows, "cell": self.cells}
        self.change: Step = decode_change(settings).compile(**sizes, **where)
        self.change.bind(**state.of("lengths", "limits", "reserved", "last_tokens", "block_table"))

    def apply(self, changes: Changes) -> None:
        """Sends what the host changed: one transfer and one launch on the current stream."""
        for transfer in changes.transfers():
            self.change(**transfer)

    def flags(self) -> dict[str, int]:
        """Promises that the data broke, by line of a plan. Waits for the GPU."""
        return {**self.prepare.flags(), **self.commit.flags(), **self.change.flags()}
