"""What the scheduler changed since the last step: gathered on the host, sent in one transfer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int32]
ENTRY = ("rows", "new_lengths", "new_limits", "new_tokens")
PATCH = ("grown", "starts", "counts")


@dataclass(slots=True)
class Changes:
    """Rows that were given a request or lost theirs, and the pages that rows were given.

    Args:
        cells: the most page numbers of one transfer.
    """

    cells: int
    _entries: dict[int, tuple[int, int, int]] = field(
        default_factory=dict[int, tuple[int, int, int]]
    )
    _patches: dict[int, tuple[int, list[Ints]]] = field(
        default_factory=dict[int, tuple[int, list[Ints]]]
    )

    def __bool__(self) -> bool:
        return bool(self._entries or self._patches)

    def enter(self, row: int, length: int, limit: int, token: int) -> None:
        """A request has the row: its tokens in the cache, where it ends, its next token."""
        self._entries[row] = (length, limit, token)

    def leave(self, row: int) -> None:
        """Nobody has the row; pages that it was given and that were not sent are forgotten."""
        self._entries[row] = (0, 0, 0)
        self._patches.pop(row, None)

    def grow(self, row: int, start: int, pages: Ints) -> None:
        """The row has ``pages`` behind its first ``start``."""
        first, held = self._patches.setdefault(row, (start, []))
        assert first + sum(map(len, held)) == start, "pages of a row come in order"
        held.append(pages)

    def transfers(self) -> Iterator[dict[str, Ints | int]]:
        """The inputs of one launch after the other: one, but where there are more pages than cells."""
        entries = _columns([(row, *rest) for row, rest in self._entries.items()], ENTRY)
        for rows in _split(
            [(r, s, np.concatenate(p)) for r, (s, p) in self._patches.items()], self.cells
        ):
            patches = _columns([(row, start, len(pages)) for row, start, pages in rows], PATCH)
            pages = np.concatenate([p for _, _, p in rows] or [np.zeros(0, np.int32)])
            yield {
                **entries,
                **patches,
                "new_pages": pages,
                "entry": len(entries["rows"]),
                "patch": len(rows),
            }
            entries = _columns([], ENTRY)
        self._entries.clear()
        self._patches.clear()


def _columns(rows: list[tuple[int, ...]], names: tuple[str, ...]) -> dict[str, Ints]:
    table = np.array(rows, np.int32).reshape(len(rows), len(names))
    return {name: np.ascontiguousarray(table[:, at]) for at, name in enumerate(names)}


def _split(
    patches: list[tuple[int, int, Ints]], cells: int
) -> Iterator[list[tuple[int, int, Ints]]]:
    """Patches in lists of at most ``cells`` pages; at least one list."""
    held: list[tuple[int, int, Ints]] = []
    room = cells
    for row, start, pages in patches:
        if len(pages) > room:
            yield held
            held, room = [], cells
        held.append((row, start, pages))
        room -= len(pages)
    yield held
