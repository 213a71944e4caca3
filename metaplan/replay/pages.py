"""A pool of pages: freed pages are handed out again, the last freed first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Pages:
    """Hands out the pages 1 .. count - 1 in a random first order; page 0 stays the null page."""

    def __init__(self, count: int, rng: np.random.Generator) -> None:
        self._stack = (rng.permutation(count - 1) + 1).astype(np.int32)
        self._top = count - 1
        self._held = np.zeros(count, np.bool_)

    @property
    def free(self) -> int:
        """Pages that nobody holds."""
        return self._top

    @property
    def capacity(self) -> int:
        """Pages that can be held at once."""
        return len(self._stack)

    def take(self, count: int) -> NDArray[np.int32]:
        """``count`` pages that nobody holds; the scheduler admits only what the pool can serve."""
        assert count <= self._top, "admission must bound the pages"
        self._top -= count
        pages = self._stack[self._top : self._top + count][::-1].copy()
        self._held[pages] = True
        return pages

    def give(self, pages: NDArray[np.int32]) -> None:
        """Takes back ``pages``, each of which is held."""
        assert self._held[pages].all(), "a page was freed that nobody holds"
        self._held[pages] = False
        self._stack[self._top : self._top + len(pages)] = pages
        self._top += len(pages)
