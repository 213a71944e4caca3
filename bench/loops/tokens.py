# pyright: basic
"""Whether two loops gave their requests the same tokens."""

from __future__ import annotations

from collections.abc import Mapping

Told = Mapping[int, list[int]]


def compared(one: Told, other: Told) -> int:
    """Tokens that both have told."""
    return sum(min(len(told), len(other.get(key, ()))) for key, told in one.items())


def differences(one: Told, other: Told, rows: int, steps: int) -> list[str]:
    """One line for each request whose tokens differ, or if too few were told to compare.

    A loop that reads late is some tokens of each row behind where a run stops: what both have must be equal, and it
    must be nearly all.
    """
    found = []
    for key in sorted(one.keys() & other.keys()):
        first, second = one[key], other[key]
        for at, (a, b) in enumerate(zip(first, second, strict=False)):
            if a != b:
                found.append(f"request {key}, token {at}: {a} and {b}")
                break
    both = compared(one, other)
    if both < 0.8 * rows * steps:
        found.append(f"{both} tokens told by both, of {rows * steps}")
    return found
