"""Expected buffers of the v4_decode plan, by either form of the oracle.

The definitions restate what ROCm/ATOM computes in front of a DeepSeek-V4 decode step.
Vocabulary: r request [0, bs); t flat query token [0, T); p absolute position; GB requests of the
graph (>= bs); Q query tokens a request at capture; TP = GB * Q; q = 1 + k for k draft tokens, a
row has at most q of them under ragged verify; W window; R = W + k ring slots; ctx // 4 and
ctx // 128 committed compressed entries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .expected import Array, Before, Expected, Inputs
from .v4_batch import UNTOUCHED, Config, batch_of
from .v4_loop import loop_v4
from .v4_pool import Pool
from .v4_vec import vec_v4


@dataclass(frozen=True, slots=True)
class V4Decode:
    """The model, its row space, and the two options of the step."""

    config: Config
    pool: Pool
    fp8_rect: bool = False
    hca_causal: bool = False


def vec_v4_decode(plan: V4Decode, inputs: Inputs, before: Before) -> Expected:
    """Array form; beyond the extent of the graph nothing is specified."""
    batch = batch_of(plan.config, inputs)
    fields = vec_v4(
        plan.config, plan.pool, batch, inputs.get("topk_local"), plan.fp8_rect, plan.hca_causal
    )
    return _expected(fields, before)


def loop_v4_decode(plan: V4Decode, inputs: Inputs, before: Before) -> Expected:
    """Element form, as ``vec_v4_decode``."""
    batch = batch_of(plan.config, inputs)
    fields = loop_v4(
        plan.config, plan.pool, batch, inputs.get("topk_local"), plan.fp8_rect, plan.hca_causal
    )
    return _expected(fields, before)


def _expected(fields: dict[str, Any], before: Before) -> Expected:
    values = {
        name: _kept(name, value, before)
        if isinstance(value, np.ndarray)
        else np.array([value], np.int32)
        for name, value in fields.items()
    }
    return Expected.of(values, {})


def _kept(name: str, value: Array, before: Before) -> Array:
    if not name.startswith(("kv_indices_", "swa_dest_")):
        return value
    return np.where(value == UNTOUCHED, before[name][: len(value)], value)
