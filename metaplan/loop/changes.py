"""What the scheduler changed since the last step: gathered on the host, sent in one transfer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int32]
Transfer = dict[str, "list[int] | Ints | int"]
Patch = tuple[int, int, Ints]
"""A row, the place of the first page that is new in it, the pages."""


@dataclass(slots=True)
class Changes:
    """Rows that were given a request or lost theirs, and the pages that rows were given.

    Args:
        cells: the most page numbers of one transfer; 0 where the device gives the pages.
    """

    cells: int
    _entries: dict[int, tuple[int, int, int]] = field(
        default_factory=dict[int, tuple[int, int, int]]
    )
    _patches: dict[int, Patch] = field(default_factory=dict[int, Patch])

    def __bool__(self) -> bool:
        return bool(self._entries or self._patches)

    @property
    def growth(self) -> bool:
        """Whether rows only grow: no step in flight reads what is written then."""
        return not self._entries

    def enter(self, row: int, length: int, limit: int, token: int) -> None:
        """A request has the row: its tokens in the cache, where it ends, its next token."""
        self._entries[row] = (length, limit, token)

    def leave(self, row: int) -> None:
        """Nobody has the row; pages that it was given and that were not sent are forgotten."""
        self._entries[row] = (0, 0, 0)
        self._patches.pop(row, None)

    def grow(self, row: int, start: int, pages: Ints) -> None:
        """The row has ``pages`` behind its first ``start``."""
        if row in self._patches:
            _, first, before = self._patches[row]
            assert first + len(before) == start, "pages of a row come in order"
            start, pages = first, np.concatenate([before, pages])
        self._patches[row] = (row, start, pages)

    def transfers(self) -> Iterator[Transfer]:
        """The inputs of one launch after the other: one, but where there are more pages than cells."""
        entries = self._entries
        for patches in _split(list(self._patches.values()), self.cells):
            transfer: Transfer = {"entry": len(entries)}
            if self.cells:
                transfer["patch"] = len(patches)
            if entries:
                lengths, limits, tokens = zip(*entries.values(), strict=True)
                transfer |= {
                    "rows": list(entries),
                    "new_lengths": list(lengths),
                    "new_limits": list(limits),
                    "new_tokens": list(tokens),
                }
            if patches:
                transfer |= {
                    "grown": [row for row, _, _ in patches],
                    "starts": [start for _, start, _ in patches],
                    "counts": [len(pages) for _, _, pages in patches],
                    "new_pages": np.concatenate([pages for _, _, pages in patches]),
                }
            yield transfer
            entries = {}
        self._entries, self._patches = {}, {}


def _split(patches: list[Patch], cells: int) -> Iterator[list[Patch]]:
    """Patches in lists of at most ``cells`` pages; at least one list."""
    held: list[Patch] = []
    room = cells
    for patch in patches:
        if len(patch[2]) > room:
            yield held
            held, room = [], cells
        held.append(patch)
        room -= len(patch[2])
    yield held
