"""The requests that hold a row of the state tables, as arrays over these rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metaplan.replay.pages import Pages
from metaplan.replay.settings import PageGroup, Settings

Rows = NDArray[np.int64]


class Running:
    """Counters of each state; ``order`` lists the states in use, the oldest request first."""

    def __init__(self, settings: Settings) -> None:
        states = settings.max_requests

        def zeros() -> NDArray[np.int32]:
            return np.zeros(states, np.int32)

        self.order: Rows = np.zeros(0, np.int64)
        self.request = np.full(states, -1, np.int64)
        self.context, self.goal = zeros(), zeros()
        self.computed, self.generated = zeros(), zeros()
        self.upper, self.known_computed, self.known_generated = zeros(), zeros(), zeros()

    def over(self) -> Rows:
        """States whose answer the host knows to be complete."""
        order = self.order
        done = (self.known_generated[order] >= self.goal[order]) & (
            self.known_computed[order] >= self.context[order]
        )
        return order[done]

    def remove(self, states: Rows) -> None:
        self.order = self.order[~np.isin(self.order, states)]
        self.request[states] = -1

    def add(self, state: int, request: int, context: int, goal: int) -> None:
        self.order = np.append(self.order, state)
        self.request[state], self.context[state], self.goal[state] = request, context, goal
        for counter in (
            self.computed,
            self.generated,
            self.upper,
            self.known_computed,
            self.known_generated,
        ):
            counter[state] = 0


class GroupTables:
    """The block table of one group as the host keeps it, and the pool that its pages come from."""

    def __init__(self, settings: Settings, group: PageGroup, rng: np.random.Generator) -> None:
        self.group = group
        self.pages = Pages(settings.num_pages(group), rng)
        self.table = np.zeros((settings.max_requests, settings.columns(group)), np.int32)
        self.held = np.zeros(settings.max_requests, np.int64)
        self.first = np.zeros(settings.max_requests, np.int64)
        self.promised = np.zeros(settings.max_requests, np.int64)

    def can_promise(self, tokens: int) -> bool:
        """Whether the pool still holds the pages of a request that may grow to ``tokens``."""
        need = -(-tokens // self.group.page)
        return int(self.promised.sum()) + need <= self.pages.capacity

    def promise(self, state: int, tokens: int) -> None:
        self.promised[state] = -(-tokens // self.group.page)

    def grow(self, states: Rows, tokens: Rows) -> tuple[Rows, Rows, NDArray[np.int32]]:
        """Takes the pages that ``tokens`` of each state need: (state, column, page) of each."""
        need = -(-tokens // self.group.page) - self.held[states]
        count = np.maximum(need, 0)
        owner, column = spread(count, self.held[states])
        pages = self.pages.take(len(owner))
        self.table[states[owner], column] = pages
        self.held[states] += count
        return states[owner], column, pages

    def leave_behind(self, states: Rows, computed: Rows) -> NDArray[np.int32]:
        """Frees the pages that lie wholly out of reach; the table keeps their stale numbers."""
        if not self.group.reach:
            return np.zeros(0, np.int32)
        start = np.maximum(computed - self.group.reach, 0) // self.group.page
        return self._free(states, np.minimum(start, self.held[states]))

    def release(self, states: Rows) -> NDArray[np.int32]:
        """Frees all pages of ``states``."""
        pages = self._free(states, self.held[states])
        self.held[states] = self.first[states] = self.promised[states] = 0
        return pages

    def _free(self, states: Rows, end: Rows) -> NDArray[np.int32]:
        count = np.maximum(end - self.first[states], 0)
        owner, column = spread(count, self.first[states])
        pages = self.table[states[owner], column]
        self.pages.give(pages)
        self.first[states] += count
        return pages


def spread(count: Rows, start: Rows) -> tuple[Rows, Rows]:
    """(row, start of the row + offset) of every element of rows that have ``count`` elements."""
    owner = np.repeat(np.arange(len(count), dtype=np.int64), count)
    return owner, np.arange(len(owner), dtype=np.int64) + (start - (np.cumsum(count) - count))[
        owner
    ]
