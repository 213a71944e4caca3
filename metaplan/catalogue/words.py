"""How the catalogue writes lists."""

from __future__ import annotations

from collections.abc import Iterable


def listed(names: Iterable[str]) -> str:
    """``a, b, c``, or that there are none."""
    return ", ".join(names) or "none"
