# pyright: basic
"""A small server over a loop: requests wait until they fit, their prompts are written, their tokens collected."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

import metaplan as mp
from tests.loop.models import Memory, plain, prefill


@dataclass
class Asked:
    """A prompt, and how many tokens are wanted."""

    prompt: list[int]
    most: int


def drawn(seed: int, count: int, *, words: int, longest: int = 64) -> list[Asked]:
    rng = np.random.default_rng(seed)
    asked: list[Asked] = []
    for _ in range(count):
        prompt = rng.integers(0, words, rng.integers(1, longest // 2)).tolist()
        most = int(rng.integers(1, longest - len(prompt)))
        asked.append(Asked(prompt, most))
    return asked


@dataclass
class Server:
    """``check`` is called with the loop before every step."""

    loop: mp.Loop
    model: Memory
    asked: list[Asked]
    out: dict[int, list[int]] = field(default_factory=dict)
    steps: int = 0

    def run(self, check=None) -> dict[int, list[int]]:
        waiting = list(enumerate(self.asked))
        while waiting or self.loop.busy:
            while waiting and self.loop.fits(len(waiting[0][1].prompt), waiting[0][1].most):
                self._admit(*waiting.pop(0))
            if check is not None:
                check(self.loop)
            for request, tokens, _ in self.loop.step():
                self.out[request.key] += tokens
            self.steps += 1
        return self.out

    def _admit(self, key: int, one: Asked) -> None:
        """The request takes its pages first, then its prompt is written, then its token is known."""
        request = self.loop.admit(
            length=len(one.prompt), token=self._first(), most=one.most, key=key
        )
        token = prefill(self.model, request, one.prompt)
        self.loop.state.last_tokens[request.row : request.row + 1].copy_(token)
        self.out[key] = [int(token)] if self.model.cache.device.type == "cpu" else [token]

    def _first(self) -> torch.Tensor:
        """A token on the device: the prompt's own is written over it."""
        return torch.zeros(1, dtype=torch.int64, device=self.model.cache.device)


def expected(asked: list[Asked], stop=(), words: int = 97) -> dict[int, list[int]]:
    return {key: plain(one.prompt, one.most + 1, stop, words) for key, one in enumerate(asked)}
