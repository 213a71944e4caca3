"""One thing that a region or a step must not do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

WAIT, PAGEABLE, ALLOCATION = "wait", "pageable copy", "allocation"


@dataclass(frozen=True, slots=True)
class Finding:
    """Its kind, the call, the user's lines from the nearest outwards, how often, how long together.

    ``asked``: what the user called, where that is known beside the driver's ``call``. ``us``:
    microseconds on the host, 0 where nobody measured.
    """

    kind: str
    call: str
    stack: tuple[str, ...] = ()
    count: int = 1
    us: float = 0.0
    asked: str = ""

    def __str__(self) -> str:
        call = f"{self.asked} ({self.call})" if self.asked else self.call
        times = f" x{self.count}" if self.count > 1 else ""
        took = f", {self.us:.1f} us" if self.us else ""
        return f"{self.kind}: {call}{times}{took}" + (f" at {self.stack[0]}" if self.stack else "")


def together(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Those that differ in nothing but how often and how long as one; the longest first."""
    found: dict[Finding, Finding] = {}
    for one in findings:
        key = replace(one, count=1, us=0.0)
        before = found.get(key)
        if before is not None:
            one = replace(one, count=one.count + before.count, us=one.us + before.us)
        found[key] = one
    return tuple(sorted(found.values(), key=lambda one: -one.us))
