"""Replays request traces: a small scheduler feeds the shipped plans and says what they must produce."""

from __future__ import annotations

from metaplan.replay.batches import Frame, frames
from metaplan.replay.generated import CODE, CONVERSATION, generate
from metaplan.replay.reference import Reference
from metaplan.replay.scheduler import Scheduler
from metaplan.replay.settings import PageGroup, Settings
from metaplan.replay.step import Admission, PageWrites, Step
from metaplan.replay.trace import Trace, TraceError, read

__all__ = [
    "CODE",
    "CONVERSATION",
    "Admission",
    "Frame",
    "PageGroup",
    "PageWrites",
    "Reference",
    "Scheduler",
    "Settings",
    "Step",
    "Trace",
    "TraceError",
    "frames",
    "generate",
    "read",
]
