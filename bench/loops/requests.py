# pyright: basic
"""Who runs: prompts that end one after the other, and the small scheduler that the rivals' hosts keep."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

SPREAD = 61  # prompts differ in length and in where they begin


@dataclass(frozen=True, slots=True)
class Prompt:
    """``length`` tokens of the ready prompt from ``start``; ``token`` comes next, ``most`` tokens are wanted."""

    key: int
    start: int
    length: int
    token: int
    most: int


@dataclass(frozen=True, slots=True)
class Traffic:
    """``rows`` requests at a time; one of them ends every ``every`` steps and another takes its place.

    A request does not end within ``horizon`` steps unless its turn comes: a run is shorter than that.
    """

    rows: int
    context: int
    every: int = 16
    horizon: int = 320

    def prompt(self, key: int) -> Prompt:
        """The request of this number: all sides serve the same."""
        turns = key + 1 if key < self.rows else self.rows
        most = min(self.every * turns, self.horizon)
        start, more = 13 * key % SPREAD, 7 * key % SPREAD
        return Prompt(key, start, self.context + more, 1 + key % 251, most)

    @property
    def longest(self) -> int:
        """Of any sequence, with a few tokens that are computed and thrown away."""
        return self.context + SPREAD + self.horizon + 16

    @property
    def prompt_tokens(self) -> int:
        return self.context + 2 * SPREAD


class Requests:
    """What a host knows of every row: its request, length, pages and tokens."""

    def __init__(self, traffic: Traffic, page: int, pages: int) -> None:
        rows = traffic.rows
        self.traffic, self.page = traffic, page
        self.free = deque(range(1, pages))
        self.table = np.zeros((rows, -(-traffic.longest // page)), np.int32)
        self.held = np.zeros(rows, np.int32)
        """Pages of each row."""
        self.lengths = np.zeros(rows, np.int32)
        """Tokens in the cache when the next step begins."""
        self.keys: list[int | None] = [None] * rows
        self.last = [0] * rows
        """The next input of each row, as far as the host has seen it."""
        self.fresh: set[int] = set()
        """Rows whose next input the host gives: they began in this step."""
        self.grown: list[tuple[int, int, int]] = []
        """Rows that got pages in this step: their columns from, to."""
        self.tokens: dict[int, list[int]] = {}
        self.told: list[list[int]] = [[] for _ in range(rows)]
        """Those of each row's request, and how many it wants."""
        self.most = [0] * rows
        self.next = 0

    def schedule(self) -> list[tuple[int, Prompt]]:
        """Fills free rows and gives pages to those that need one; the prompts that begin, with their rows."""
        begun: list[tuple[int, Prompt]] = []
        self.fresh, self.grown = set(), []
        for row in [row for row, key in enumerate(self.keys) if key is None]:
            prompt = self.traffic.prompt(self.next)
            self.next += 1
            self.keys[row], self.last[row] = prompt.key, prompt.token
            self.lengths[row] = prompt.length
            self.told[row] = self.tokens[prompt.key] = []
            self.most[row] = prompt.most
            self.fresh.add(row)
            begun.append((row, prompt))
        for row in np.flatnonzero(self.lengths // self.page >= self.held).tolist():
            had, needed = int(self.held[row]), int(self.lengths[row]) // self.page + 1
            self.table[row, had:needed] = [self.free.popleft() for _ in range(had, needed)]
            self.held[row] = needed
            self.grown.append((row, had, needed))
        return begun

    def pages(self, row: int) -> np.ndarray:
        return self.table[row, : self.held[row]]

    def advance(self) -> list[int | None]:
        """A step was launched: every row is one token longer. Whose its results will be."""
        self.lengths += 1
        return list(self.keys)

    def commit(self, sampled: list[int], keys: list[int | None]) -> None:
        """The results of a step that was launched for ``keys``; a row that others have got since is passed over."""
        for row, (token, key) in enumerate(zip(sampled, keys, strict=True)):
            if key is None or self.keys[row] != key:
                continue
            told = self.told[row]
            told.append(token)
            self.last[row] = token
            if len(told) == self.most[row]:
                self._end(row)

    def _end(self, row: int) -> None:
        self.free.extend(self.pages(row).tolist())
        self.table[row, : self.held[row]] = 0
        self.held[row] = 0
        self.keys[row] = None
