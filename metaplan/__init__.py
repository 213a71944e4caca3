"""Decode-step metadata, declared once and compiled to one Triton kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metaplan.auditing.marks import audit_step
from metaplan.errors import CallError, MetaplanError, PlanError, SyncError
from metaplan.exact import exactly
from metaplan.lang.arrays import DISTINCT, EACH, HOST, STATE, array, below, between, each
from metaplan.lang.axes import axis, compact, dense, pieces, ragged
from metaplan.lang.copies import groups, steps
from metaplan.lang.dtypes import boolean, i32, i64, u8, u16
from metaplan.lang.folds import Moment, carry, fold
from metaplan.lang.opaque import buffer, opaque
from metaplan.lang.patches import patch
from metaplan.lang.plan import Outputs, Plan, plan
from metaplan.lang.rows import argsort, bits, choose, pack, partition, sort, wrapped
from metaplan.lang.scattering import put
from metaplan.lang.sweeps import at, bisect, given, histogram, locate, rank
from metaplan.lang.values import Integer, Value
from metaplan.lang.words import (
    LAST,
    UNDEFINED,
    Change,
    Out,
    all,
    any,
    cdiv,
    cumsum,
    expect,
    indptr,
    join,
    keep,
    max,
    maximum,
    min,
    minimum,
    on,
    sum,
    tail,
    update,
    where,
)

if TYPE_CHECKING:
    from metaplan.auditing.regions import assert_sync_free, audit
    from metaplan.auditing.saturated import idle_share
    from metaplan.auditing.watching import watching
    from metaplan.loop import Batch, Bounds, Loop, Produced, Request, Sampled
    from metaplan.runtime.branch import Branch

__all__ = [
    "DISTINCT",
    "EACH",
    "HOST",
    "LAST",
    "STATE",
    "UNDEFINED",
    "Batch",
    "Bounds",
    "Branch",
    "CallError",
    "Change",
    "Integer",
    "Loop",
    "MetaplanError",
    "Moment",
    "Out",
    "Outputs",
    "Plan",
    "PlanError",
    "Produced",
    "Request",
    "Sampled",
    "SyncError",
    "Value",
    "all",
    "any",
    "argsort",
    "array",
    "assert_sync_free",
    "at",
    "audit",
    "audit_step",
    "axis",
    "below",
    "between",
    "bisect",
    "bits",
    "boolean",
    "buffer",
    "carry",
    "cdiv",
    "choose",
    "compact",
    "cumsum",
    "dense",
    "each",
    "exactly",
    "expect",
    "fold",
    "given",
    "groups",
    "histogram",
    "i32",
    "i64",
    "idle_share",
    "indptr",
    "join",
    "keep",
    "locate",
    "max",
    "maximum",
    "min",
    "minimum",
    "on",
    "opaque",
    "pack",
    "partition",
    "patch",
    "pieces",
    "plan",
    "put",
    "ragged",
    "rank",
    "sort",
    "steps",
    "sum",
    "tail",
    "u8",
    "u16",
    "update",
    "watching",
    "where",
    "wrapped",
]

_LATE = {
    **dict.fromkeys(("assert_sync_free", "audit"), "metaplan.auditing.regions"),
    "idle_share": "metaplan.auditing.saturated",
    "watching": "metaplan.auditing.watching",
    "Branch": "metaplan.runtime.branch",
    **dict.fromkeys(("Batch", "Bounds", "Loop", "Produced", "Request", "Sampled"), "metaplan.loop"),
}


def __getattr__(name: str) -> object:
    """What needs torch, when it is first asked for: a plan can be declared without it."""
    if name not in _LATE:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from importlib import import_module

    return getattr(import_module(_LATE[name]), name)


__version__ = "0.1.0"
