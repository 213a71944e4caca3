"""The profiler's file, a Chrome trace in JSON, as a Trace."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from metaplan import catalogue
from metaplan.auditing.calls import is_allocation, is_wait
from metaplan.auditing.trace import COPY, KERNEL, SET, Call, Span, Trace, Work

WORKS = {"kernel": KERNEL, "gpu_memcpy": COPY, "gpu_memset": SET}
CALLS = ("cuda_runtime", "cuda_driver")
KEPT = {
    *(*WORKS, *CALLS, "cuda_sync", "cpu_op", "user_annotation"),
    *("gpu_user_annotation", "python_function"),
}
"""What a saved trace keeps; the rest is the profiler's own, or of this machine."""
ARGUMENTS = ("correlation", "device", "stream", "bytes")

Event = Mapping[str, Any]


def read(path: Path) -> Trace:
    """The trace in a .json or .json.gz file; raises CallError for what is none."""
    if not path.is_file():
        raise catalogue.no_such_trace(str(path))
    try:
        data = path.read_bytes()
        whole = json.loads(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
        return parse(whole["traceEvents"], path.name)
    except (ValueError, KeyError, TypeError, AttributeError, OSError, EOFError) as error:
        raise catalogue.not_a_trace(str(path)) from error


def parse(events: Iterable[Event], name: str) -> Trace:
    """The records of ``events``, in microseconds since the first of them."""
    spans = [event for event in events if event.get("ph") == "X"]
    first = min((float(event["ts"]) for event in spans if event.get("cat") in KEPT), default=0.0)
    works: list[Work] = []
    calls: list[Call] = []
    asked: list[Call] = []
    marks: list[Span] = []
    ops: list[Span] = []
    frames: list[Span] = []
    for event in spans:
        category, called = event.get("cat"), str(event["name"])
        start = float(event["ts"]) - first
        end = start + float(event.get("dur", 0))
        given: Event = event.get("args") or {}
        correlation = int(given.get("correlation", 0))
        if category in WORKS:
            device, stream = int(given.get("device", 0)), int(given.get("stream", 0))
            work = Work(called, WORKS[category], start, end, device, stream, correlation)
            works.append(work)
        elif category in CALLS:
            calls.append(Call(called, start, end, _thread(event), correlation))
        elif category == "cuda_sync":
            asked.append(Call(called, start, end, -1, correlation))
        elif category == "user_annotation":
            marks.append(Span(called, start, end, _thread(event)))
        elif category == "cpu_op":
            ops.append(Span(called, start, end, _thread(event)))
        elif category == "python_function":
            frames.append(Span(called, start, end, _thread(event)))
    calls.extend(_unseen(asked, calls))
    return Trace(
        name,
        calls=tuple(sorted(calls, key=_start)),
        works=tuple(sorted(works, key=_start)),
        marks=tuple(sorted(marks, key=_start)),
        ops=_outermost(ops),
        frames=tuple(sorted(frames, key=_start)),
    )


def slim(whole: Mapping[str, Any]) -> dict[str, Any]:
    """What a saved trace holds: the events that are read here, with nothing of this machine."""
    kept: list[dict[str, Any]] = []
    for event in whole["traceEvents"]:
        if event.get("ph") == "M" or event.get("cat") in KEPT:
            given: Event = event.get("args") or {}
            some = {key: given[key] for key in ARGUMENTS if key in given}
            kept.append({**event, "args": given if event.get("ph") == "M" else some})
    return {"schemaVersion": 1, "displayTimeUnit": "ms", "traceEvents": kept}


def save(whole: Mapping[str, Any], path: Path) -> None:
    """Writes it, compressed if the name ends in .gz."""
    text = json.dumps(slim(whole), separators=(",", ":")).encode()
    path.write_bytes(gzip.compress(text, mtime=0) if path.suffix == ".gz" else text)


def _start(span: Span | Work) -> float:
    return span.start


def _thread(event: Event) -> int:
    try:
        return int(event.get("tid", -1))
    except ValueError:
        return -1


def _outermost(ops: list[Span]) -> tuple[Span, ...]:
    kept: list[Span] = []
    ends: dict[int, float] = {}
    for op in sorted(ops, key=lambda op: (op.start, -op.end)):
        if op.end > ends.get(op.thread, float("-inf")):
            kept.append(op)
            ends[op.thread] = op.end
    return tuple(kept)


def _unseen(asked: Iterable[Call], calls: Iterable[Call]) -> list[Call]:
    """Waits that the driver reports and that no call of the runtime made."""
    known = {call.correlation for call in calls}
    slow = [call for call in calls if is_wait(call.name) or is_allocation(call.name)]
    return [
        one
        for one in asked
        if is_wait(one.name)
        and one.correlation not in known
        and not any(call.start <= one.end and one.start <= call.end for call in slow)
    ]
