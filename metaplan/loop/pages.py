"""The free pages of a KV cache, as the host knows them."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

Pages = NDArray[np.int32]


class Pool:
    """Pages 1 to ``pages`` - 1; page 0 is nobody's, so that a stray write harms nobody.

    A page may come back while steps that were launched before still write to it. Work behind them on the same
    stream is ordered after those writes, so that the page can be given away at once. Where its next owner writes on
    another stream there is no such order: with ``fenced``, a page stays away until the host has read the results of
    every step that was launched before it came back.
    """

    def __init__(self, pages: int, *, fenced: bool = False) -> None:
        self.pages, self.fenced = pages, fenced
        self._free = np.arange(pages - 1, 0, -1, dtype=np.int32)
        self._count = pages - 1
        self._read = 0
        self._waiting: deque[tuple[int, Pages]] = deque()

    @property
    def free(self) -> int:
        """How many pages can be taken now."""
        return self._count

    @property
    def away(self) -> int:
        """How many wait for steps in flight."""
        return sum(len(pages) for _, pages in self._waiting)

    def take(self, count: int) -> Pages:
        """``count`` free pages: int32[count]."""
        assert count <= self._count, f"{count} pages of {self._count}"
        self._count -= count
        return self._free[self._count : self._count + count][::-1].copy()

    def give(self, pages: Pages, *, launched: int) -> None:
        """Pages come back; ``launched``: how many steps have been launched so far."""
        if self.fenced and launched > self._read:
            self._waiting.append((launched, pages))
        else:
            self._put(pages)

    def passed(self, read: int) -> None:
        """The results of the first ``read`` steps have been read: those steps write no more."""
        self._read = read
        while self._waiting and self._waiting[0][0] <= read:
            self._put(self._waiting.popleft()[1])

    def _put(self, pages: Pages) -> None:
        self._free[self._count : self._count + len(pages)] = pages
        self._count += len(pages)
        if self._count == self.pages - 1:
            # All are back. In order again: pages of a row that are neighbours are read faster.
            self._free[:] = np.arange(self.pages - 1, 0, -1, dtype=np.int32)
