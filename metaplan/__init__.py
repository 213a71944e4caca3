"""Decode-step metadata, declared once and compiled to one Triton kernel."""

from __future__ import annotations

from metaplan.errors import CallError, MetaplanError, PlanError, SyncError
from metaplan.lang.arrays import HOST, STATE, array, below, between
from metaplan.lang.axes import axis, compact, dense, pieces, ragged
from metaplan.lang.dtypes import boolean, i32, i64, u8
from metaplan.lang.plan import Plan, plan
from metaplan.lang.values import Value
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

__all__ = [
    "HOST",
    "LAST",
    "STATE",
    "UNDEFINED",
    "CallError",
    "Change",
    "MetaplanError",
    "Out",
    "Plan",
    "PlanError",
    "SyncError",
    "Value",
    "all",
    "any",
    "array",
    "axis",
    "below",
    "between",
    "boolean",
    "cdiv",
    "compact",
    "cumsum",
    "dense",
    "expect",
    "i32",
    "i64",
    "indptr",
    "join",
    "keep",
    "max",
    "maximum",
    "min",
    "minimum",
    "on",
    "pieces",
    "plan",
    "ragged",
    "sum",
    "tail",
    "u8",
    "update",
    "where",
]

__version__ = "0.1.0"
