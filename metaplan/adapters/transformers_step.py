# pyright: basic
"""The state of a decode loop in tensors that never move, and the plan's step that advances it."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from metaplan.plans.transformers_decode import transformers_decode
from metaplan.runtime.step import Step


class State:
    """Of ``rows`` rows: what is generated, who has ended, what the next forward takes."""

    def __init__(
        self, *, rows: int, columns: int, window: int, stops: Sequence[int], pad: int, device: str
    ) -> None:
        stops = stops or [-1]
        self.rows = torch.zeros(1, dtype=torch.int32, device=device)
        self.sampled = torch.zeros(rows, dtype=torch.int64, device=device)
        self.tokens = torch.zeros(rows, columns, dtype=torch.int64, device=device)
        self.lengths = torch.ones(rows, dtype=torch.int32, device=device)
        self.positions = torch.zeros(rows, dtype=torch.int64, device=device)
        self.prompt_mask = torch.ones(rows, columns, dtype=torch.bool, device=device)
        self.finished = torch.zeros(rows, dtype=torch.bool, device=device)
        self.unfinished = torch.zeros(1, dtype=torch.int32, device=device)
        plan = transformers_decode(longest=columns, stops=len(stops), window=window)
        self.step: Step = plan.compile(req=rows, device=device)
        self.step.bind(
            sampled=self.sampled,
            stop_tokens=torch.tensor(stops, device=device),
            pad_token=torch.tensor([pad], device=device),
            prompt_mask=self.prompt_mask,
            finished=self.finished,
            lengths=self.lengths,
            positions=self.positions,
            tokens=self.tokens,
            unfinished=self.unfinished,
            req=self.rows,
        )

    def begin(self, input_ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor) -> None:
        """Takes prompts int64[b, n], which of their columns count bool[b, n], and their last positions int64[b]."""
        rows, count = input_ids.shape
        self.rows.fill_(rows)
        self.tokens[:rows, :count] = input_ids
        self.lengths.fill_(count)
        self.positions[:rows] = positions
        self.prompt_mask.fill_(True)
        self.prompt_mask[:rows, :count] = mask
        self.finished.zero_()
        self.unfinished.fill_(rows)

    def sample(self, logits: torch.Tensor) -> None:
        """The likeliest token of each row of ``logits[b, 1, vocabulary]``."""
        torch.argmax(logits[:, -1], dim=-1, out=self.sampled[: logits.shape[0]])
