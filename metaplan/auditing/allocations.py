# pyright: basic
"""From which lines torch's allocator went to the driver, by the history that it keeps itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from metaplan.auditing.lines import ALLOCATED, spelled
from metaplan.auditing.stack import told

ASKED = ("segment_alloc", "segment_map", "segment_free", "segment_unmap")
MOST = 200_000
"""How many entries of the history are kept; torch drops the oldest beyond them."""


@contextmanager
def remembering() -> Iterator[None]:
    """torch's allocator notes who asks it for memory; switches a history of the user's own off."""
    import torch

    kept = torch.cuda.is_available() and torch.cuda.get_allocator_backend() == "native"
    if kept:
        torch.cuda.memory._record_memory_history(
            "all", context="alloc", stacks="python", max_entries=MOST
        )
    try:
        yield
    finally:
        if kept:
            torch.cuda.memory._record_memory_history(None)


def remembered(since_us: float) -> list[Mapping[str, Any]]:
    """The entries since a time in us since 1970; asked for inside ``remembering``."""
    import torch

    if not torch.cuda.is_available():
        return []
    kept: Any = torch.cuda.memory._snapshot()
    entries = (one for some in kept["device_traces"] for one in some)
    return [entry for entry in entries if entry.get("time_us", 0) >= since_us]


def notes(entries: Iterable[Mapping[str, Any]], base_us: float) -> list[dict[str, Any]]:
    """A mark of the trace whose clock starts at ``base_us`` for each time the driver was asked."""
    return [
        {
            "ph": "X",
            "cat": "user_annotation",
            "name": spelled(ALLOCATED, lines),
            "pid": 0,
            "tid": -1,
            "ts": entry["time_us"] - base_us,
            "dur": 0,
        }
        for entry in entries
        if entry["action"] in ASKED and (lines := _lines(entry))
    ]


def _lines(entry: Mapping[str, Any]) -> tuple[str, ...]:
    frames = entry.get("frames", ())
    return told((frame["filename"], frame["line"], frame["name"]) for frame in frames)
