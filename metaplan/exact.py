"""A capacity that is always full."""

from __future__ import annotations


class Exact(int):
    """The number of points of a root axis, at every step: nothing has to say how many are live."""

    def __repr__(self) -> str:
        return f"exactly({int(self)})"


def alike(count: int, size: int) -> int:
    """``count``, at every step where ``size`` is."""
    return Exact(count) if isinstance(size, Exact) else count


def exactly(count: int) -> int:
    """``compile(req=mp.exactly(256))``: always 256 requests, as in a CUDA graph that was recorded for 256.

    The kernel then reads no live number, and every input has all rows; rows that stand for padding are made harmless
    by what is in them, such as an empty sequence.
    """
    return Exact(count) if type(count) is int else count
