# pyright: basic
"""Random traffic through a loop whose pages the device has, and what must hold of them between any two steps."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

import metaplan as mp
from tests.loop.models import Memory, prefill

ROWS, PAGES, PAGE, LONGEST = 4, 40, 4, 64


def made(
    *,
    device="cpu",
    words=97,
    drafts=0,
    pages=PAGES,
    rows=ROWS,
    overlap=False,
    model=None,
    **options,
) -> tuple[mp.Loop, Memory]:
    """A small loop and its model; a second one with the same arguments draws the same tokens."""
    loop = mp.Loop(
        rows=rows,
        pages=pages,
        page=PAGE,
        longest=LONGEST,
        drafts=drafts,
        vocabulary=words,
        device=device,
        **options,
    )
    memory = Memory(pages=pages, page=PAGE, words=words, drafts=drafts, device=device)
    loop.capture((model or plainly)(loop, memory), drafted=drafts > 0, overlap=overlap)
    return loop, memory


def plainly(loop: mp.Loop, memory: Memory):
    return memory


def guarded(loop: mp.Loop, memory: Memory):
    """The model, which looks at every slot that it writes: it lies in a page that its row has. For the CPU."""

    def forward(batch: mp.Batch):
        slots = batch.slot_mapping.view(batch.rows, -1).tolist()
        places = (batch.positions // PAGE).view(batch.rows, -1).tolist()
        owned = (loop.free_pages.there.reserved // PAGE).tolist()
        table = batch.block_table.tolist()
        for row in range(batch.rows):
            for slot, place in zip(slots[row], places[row], strict=True):
                assert slot == -1 or (place < owned[row] and slot // PAGE == table[row][place])
        return memory(batch)

    return forward


def owned(loop: mp.Loop) -> list[list[int]]:
    """The pages of each row, as the device has them. Waits."""
    counts = (loop.state.reserved // PAGE).tolist()
    table = loop.state.block_table.tolist()
    return [pages[:count] for pages, count in zip(table, counts, strict=True)]


def free(loop: mp.Loop) -> list[int]:
    """The pages that no row has. Waits."""
    held = loop.free_pages
    assert held is not None
    return held.stack[: int(held.here.free)].tolist()


def conserved(loop: mp.Loop) -> None:
    """Every page but 0 is free or has one row."""
    assert sorted(sum(owned(loop), free(loop))) == list(range(1, loop.settings.pages))


def needed(loop: mp.Loop) -> list[int]:
    """Pages that the next step needs of each row, from the device's own counts. Waits."""
    lengths, limits = (x.cpu().numpy() for x in (loop.state.lengths, loop.state.limits))
    end = np.minimum(lengths + loop.settings.queries, limits)
    return np.where(lengths < limits, -(-end // PAGE), 0).tolist()


@dataclass
class Traffic:
    """Requests that come, end, and are ended early, at random; the same seed makes the same choices."""

    loop: mp.Loop
    model: Memory
    seed: int
    words: int = 97
    longest: int = LONGEST
    entering: int = 2
    _live: list[mp.Request] = field(default_factory=list)
    _asked: int = 0

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def change(self) -> None:
        """Some are ended early, some enter, as far as they fit."""
        live = [one for one in self._live if one.live]
        for request in live:
            if self.rng.random() < 0.03:
                self.loop.finish(request)
        for _ in range(int(self.rng.integers(0, self.entering + 1))):
            length = int(self.rng.integers(1, self.longest // 2))
            most = int(self.rng.integers(1, self.longest - length))
            prompt = self.rng.integers(0, self.words, length).tolist()
            if self.loop.fits(length, most):
                self._admit(prompt, most)
        self._live = [one for one in self._live if one.live]

    def _admit(self, prompt: list[int], most: int) -> None:
        request = self.loop.admit(length=len(prompt), token=0, most=most, key=self._asked)
        token = prefill(self.model, request, prompt)
        self.loop.flush()
        self.loop.state.last_tokens[request.row : request.row + 1].copy_(token)
        self._live.append(request)
        self._asked += 1

    def step(self) -> list[tuple[object, list[int], bool]]:
        """One step; keys, tokens and ends of what was read."""
        return [(request.key, tokens, ended) for request, tokens, ended in self.loop.step()]

    def end(self) -> None:
        """Ends all that is live, and reads what is in flight."""
        for request in self._live:
            self.loop.finish(request)
        self.loop.drain()
        self.loop.flush()
