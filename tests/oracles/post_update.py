"""Expected state tables after sampling: what the post_update plan changes in place."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .expected import Array, Before, Expected, Inputs
from .ragged import expand


def vec_post_update(inputs: Inputs, before: Before) -> Expected:
    """Array form; ``before`` holds the state tables."""
    states = {name: table.copy() for name, table in before.items()}
    apply_post_update(inputs, states)
    return Expected.of(states, {})


def apply_post_update(inputs: Inputs, states: Mapping[str, Array]) -> None:
    """The array form on the state tables themselves: cheap enough for every step of a replay."""
    n = int(inputs["req"])
    real = np.flatnonzero(np.asarray(inputs["idx_mapping"])[:n] >= 0)
    state = np.asarray(inputs["idx_mapping"])[real]
    sampled = np.asarray(inputs["num_sampled"])[real]
    fence = np.asarray(inputs["query_start_loc"])
    query = fence[real + 1] - fence[real]
    if "new_draft_tokens" in inputs:
        states["draft_tokens"][state] = inputs["new_draft_tokens"][real]
    some = sampled > 0
    last = inputs["sampled_tokens"][real[some], sampled[some] - 1]
    states["last_sampled_tokens"][state[some]] = last
    row, i = expand(sampled)
    column = states["total_len"][state[row]] + i
    states["all_token_ids"][state[row], column] = inputs["sampled_tokens"][real[row], i]
    states["total_len"][state] += sampled
    states["num_computed_tokens"][state] += query - inputs["num_rejected"][real]


def loop_post_update(inputs: Inputs, before: Before) -> Expected:
    """Element form, as ``vec_post_update``."""
    states = {name: table.copy() for name, table in before.items()}
    for r in range(int(inputs["req"])):
        state = int(inputs["idx_mapping"][r])
        if state < 0:
            continue
        if "new_draft_tokens" in inputs:
            for i, draft in enumerate(inputs["new_draft_tokens"][r]):
                states["draft_tokens"][state, i] = int(draft)
        for i in range(int(inputs["num_sampled"][r])):
            token = int(inputs["sampled_tokens"][r, i])
            states["all_token_ids"][state, int(states["total_len"][state])] = token
            states["last_sampled_tokens"][state] = token
            states["total_len"][state] += 1
        query = int(inputs["query_start_loc"][r + 1]) - int(inputs["query_start_loc"][r])
        states["num_computed_tokens"][state] += query - int(inputs["num_rejected"][r])
    return Expected.of(states, {})
