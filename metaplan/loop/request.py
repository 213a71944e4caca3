"""A request of a decode loop, as its host knows it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pages = NDArray[np.int32]


@dataclass(slots=True, eq=False)
class Request:
    """A live request: its row, and the pages that it owns.

    Attributes:
        key: whatever the caller gave; the loop only hands it back.
        row: its row of every table.
        page: tokens a page.
        limit: tokens in its cache at most.
        live: whether results of it may still come.
        seated: whether its row and its pages are its own; others may get them once its last step is launched.
    """

    key: object
    row: int
    page: int
    limit: int
    live: bool = True
    seated: bool = True
    _held: list[Pages] = field(default_factory=list[Pages], repr=False)

    @property
    def whole(self) -> int:
        """Pages that it needs at its end."""
        return -(-self.limit // self.page)

    @property
    def pages(self) -> Pages:
        """int32[n], in the order of its tokens."""
        if len(self._held) != 1:
            self._held = [np.concatenate([np.zeros(0, np.int32), *self._held])]
        return self._held[0]

    def grow(self, pages: Pages) -> None:
        """It owns these too, behind those that it has."""
        self._held.append(pages)

    def slots(self, start: int, stop: int) -> Any:
        """int64[stop - start]: where the keys and values of these positions go.

        A NumPy array; in a loop with ``paging="device"`` a tensor on the device.
        """
        pos = np.arange(start, stop, dtype=np.int64)
        return self.pages[pos // self.page].astype(np.int64) * self.page + pos % self.page
