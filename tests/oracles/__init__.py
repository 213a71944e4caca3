"""Oracles of the shipped plans: each one in array form (``vec_``) and in element form (``loop_``)."""

from __future__ import annotations

from .engine_step import EngineStep, Group, vec_engine_step
from .engine_step_loop import loop_engine_step
from .expected import Array, Before, Expected, Inputs, Mismatch, compare
from .paged_decode import PagedDecode, loop_paged_decode, vec_paged_decode
from .post_update import apply_post_update, loop_post_update, vec_post_update
from .v4_batch import (
    UNTOUCHED,
    Batch,
    Config,
    batch_of,
    inputs_of,
    make_batch,
    make_pool,
    make_topk,
)
from .v4_decode import V4Decode, loop_v4_decode, vec_v4_decode
from .v4_loop import loop_v4
from .v4_pool import CSA, DENSE, HCA, Pool
from .v4_vec import vec_v4

__all__ = [
    "CSA",
    "DENSE",
    "HCA",
    "UNTOUCHED",
    "Array",
    "Batch",
    "Before",
    "Config",
    "EngineStep",
    "Expected",
    "Group",
    "Inputs",
    "Mismatch",
    "PagedDecode",
    "Pool",
    "V4Decode",
    "apply_post_update",
    "batch_of",
    "compare",
    "inputs_of",
    "loop_engine_step",
    "loop_paged_decode",
    "loop_post_update",
    "loop_v4",
    "loop_v4_decode",
    "make_batch",
    "make_pool",
    "make_topk",
    "vec_engine_step",
    "vec_paged_decode",
    "vec_post_update",
    "vec_v4",
    "vec_v4_decode",
]
