"""What a profiler saw, as records: the host's calls, the GPU's work, marks and Python's frames."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

KERNEL, COPY, SET = "kernel", "copy", "set"


@dataclass(frozen=True, slots=True)
class Span:
    """Something on a thread of the host, from ``start`` to ``end`` in microseconds."""

    name: str
    start: float
    end: float
    thread: int


@dataclass(frozen=True, slots=True)
class Call(Span):
    """A call of the runtime or the driver; ``correlation`` is that of the work that it launches."""

    correlation: int


@dataclass(frozen=True, slots=True)
class Work:
    """A kernel, a copy or a memset on the GPU; its time in microseconds, on the clock of the calls."""

    name: str
    kind: str
    start: float
    end: float
    device: int
    stream: int
    correlation: int


@dataclass(frozen=True, slots=True)
class Trace:
    """Each in the order of its start. ``ops``: torch's operators, the outermost of each thread."""

    name: str
    calls: tuple[Call, ...]
    works: tuple[Work, ...]
    marks: tuple[Span, ...] = ()
    ops: tuple[Span, ...] = ()
    frames: tuple[Span, ...] = ()


def enclosing(spans: Iterable[Span], calls: Sequence[Call]) -> Mapping[Call, tuple[Span, ...]]:
    """Which spans of its own thread a call lies in, from the innermost outwards.

    A call of an unknown thread (-1) lies in the spans of every thread.
    """
    threads: dict[int, list[Span]] = {}
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        threads.setdefault(span.thread, []).append(span)
    found: dict[Call, tuple[Span, ...]] = dict.fromkeys(calls, ())
    for thread, nested in threads.items():
        asked = [call for call in calls if call.thread in (thread, -1)]
        stack: list[Span] = []
        at = 0
        for call in sorted(asked, key=lambda call: call.start):
            while at < len(nested) and nested[at].start <= call.start:
                stack.append(nested[at])
                at += 1
            stack = [span for span in stack if span.end >= call.start]
            found[call] += tuple(span for span in reversed(stack) if span.end >= call.end)
    return found
