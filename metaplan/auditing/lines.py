"""Which of the user's lines a call comes from: marks in the trace say it, or Python's frames do.

``metaplan.at NAME | LINE | LINE`` spans what the user called; ``metaplan.waited | LINE`` stands
behind torch's operator that waited, ``metaplan.allocated | LINE`` beside an allocation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metaplan.auditing.calls import is_allocation, is_wait
from metaplan.auditing.stack import told
from metaplan.auditing.trace import Call, Span, Trace, enclosing

AT, WAITED, ALLOCATED = "metaplan.at", "metaplan.waited", "metaplan.allocated"
NEAR_US = 1000.0
"""How far from its call an allocation may have been noted."""
_FRAME = re.compile(r"(?P<file>.+\.py)\((?P<line>\d+)\): (?P<function>.+)")


@dataclass(frozen=True, slots=True)
class Line:
    """What the user called, empty if unknown, and the lines from the nearest outwards."""

    asked: str = ""
    stack: tuple[str, ...] = ()


def spelled(mark: str, stack: Sequence[str], asked: str = "") -> str:
    """The name of a mark."""
    parts = (f"{mark} {asked}".rstrip(), *stack)
    return " | ".join(part.replace("|", "/").replace('"', "'").replace("\\", "/") for part in parts)


def lines(trace: Trace, calls: Sequence[Call]) -> Mapping[Call, Line]:
    """A line for each of ``calls``, empty where nothing tells."""
    at = [mark for mark in trace.marks if mark.name.startswith(AT)]
    named, ops = enclosing(at, calls), enclosing(trace.ops, calls)
    frames = enclosing(trace.frames, calls)
    waited = _waited(trace, calls, named, ops)
    allocated = _allocated(trace, calls)
    # A copy has the line of the wait that its operator ends with.
    beside = {_op(ops[call]): mark for call, mark in waited.items()}
    found: dict[Call, Line] = {}
    for call in calls:
        op = ops[call][-1].name if ops[call] else ""
        if named[call]:
            # The outermost: what the user wrote may be made of others that are marked too.
            head, *stack = named[call][-1].name.split(" | ")
            found[call] = Line(head.removeprefix(AT).strip(), tuple(stack))
        elif mark := waited.get(call) or allocated.get(call) or beside.get(_op(ops[call])):
            found[call] = Line(op, tuple(mark.name.split(" | ")[1:]))
        else:
            found[call] = Line(op, _of_frames(frames[call]))
    return found


def _op(ops: Sequence[Span]) -> Span | None:
    """The outermost."""
    return ops[-1] if ops else None


def _waited(
    trace: Trace,
    calls: Sequence[Call],
    named: Mapping[Call, Sequence[Span]],
    ops: Mapping[Call, Sequence[Span]],
) -> dict[Call, Span]:
    """torch warns once for each wait, when its operator is over: each warning takes the last wait.

    Waits outside an operator are another library's and are not warned of.
    """
    at = [mark for mark in trace.marks if mark.name.startswith(AT)]
    stamps = [
        mark
        for mark in trace.marks
        if mark.name.startswith(WAITED)
        and not any(one.thread == mark.thread and one.start <= mark.start <= one.end for one in at)
    ]
    open_: dict[int, list[Call]] = {}
    found: dict[Call, Span] = {}
    waiting = [call for call in calls if is_wait(call.name) and ops[call] and not named[call]]
    events: list[Call | Span] = sorted((*waiting, *stamps), key=lambda one: one.start)
    for one in events:
        if isinstance(one, Call):
            open_.setdefault(one.thread, []).append(one)
        elif open_.get(one.thread):
            found[open_[one.thread].pop()] = one
    return found


def _allocated(trace: Trace, calls: Sequence[Call]) -> dict[Call, Span]:
    """torch's allocator notes when it has gone to the driver: the nearest note is a call's own."""
    notes = [mark for mark in trace.marks if mark.name.startswith(ALLOCATED)]
    asking = [call for call in calls if is_allocation(call.name)]
    pairs = [(abs(note.start - call.end), call, note) for call in asking for note in notes]
    found: dict[Call, Span] = {}
    taken: set[Span] = set()
    for distance, call, note in sorted(pairs, key=lambda pair: pair[0]):
        if distance <= NEAR_US and call not in found and note not in taken:
            found[call] = note
            taken.add(note)
    return found


def _of_frames(frames: Sequence[Span]) -> tuple[str, ...]:
    """What the profiler knows with stacks: where each function begins, not the line in it."""
    matched = (_FRAME.fullmatch(frame.name) for frame in frames)
    return told((m["file"], int(m["line"]), m["function"]) for m in matched if m is not None)
