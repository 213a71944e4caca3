"""The engine's persistent tables, one row a state: the host patches them, post_update moves them on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from metaplan.replay.oracles import oracles
from metaplan.replay.settings import Settings
from metaplan.replay.step import Step

Array = NDArray[Any]


class Tables:
    """The tables by the names that the plans give them; rows of ended requests stay as they were."""

    def __init__(self, settings: Settings) -> None:
        states = settings.max_requests
        self.arrays: dict[str, Array] = {
            "num_computed_tokens": np.zeros(states, np.int32),
            "prefill_len": np.zeros(states, np.int32),
            "all_token_ids": np.zeros((states, settings.max_model_len), np.int32),
            "last_sampled_tokens": np.zeros(states, np.int64),
            "total_len": np.zeros(states, np.int32),
        }
        if settings.drafts:
            self.arrays["draft_tokens"] = np.zeros((states, settings.drafts), np.int64)
        for g, group in enumerate(settings.all_groups):
            self.arrays[f"block_table_{g}"] = np.zeros((states, settings.columns(group)), np.int32)
            self.arrays[f"num_blocks_{g}"] = np.zeros(states, np.int32)
        self._groups = len(settings.all_groups)

    def patch(self, step: Step) -> None:
        """Writes what the host knows before the step: new prompts and new pages."""
        arrays = self.arrays
        for admission in step.admitted:
            state, length = admission.state, len(admission.prompt)
            arrays["all_token_ids"][state, :length] = admission.prompt
            arrays["prefill_len"][state] = arrays["total_len"][state] = length
            arrays["num_computed_tokens"][state] = 0
            for g in range(self._groups):
                arrays[f"num_blocks_{g}"][state] = 0
        for g, writes in enumerate(step.page_writes):
            arrays[f"block_table_{g}"][writes.state, writes.column] = writes.page
            np.add.at(arrays[f"num_blocks_{g}"], writes.state, 1)

    def advance(self, post_update: dict[str, Any]) -> None:
        """Applies what sampling wrote, as the post_update plan does."""
        oracles().apply_post_update(post_update, self.arrays)
