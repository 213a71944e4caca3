# pyright: basic
"""What every side of the loop comparison is given, and what it has to do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from bench.loops.device import busy
from bench.loops.model import Llama
from bench.loops.requests import Prompt, Traffic


@dataclass(slots=True)
class Work:
    """A model, its traffic, and how long the host is busy in each step beside the loop itself."""

    model: Llama
    traffic: Traffic
    pages: int
    device: str
    host_us: float = 0.0

    @property
    def page(self) -> int:
        return self.model.page

    @property
    def rows(self) -> int:
        return self.traffic.rows


class Side(ABC):
    """A decode loop. Every side serves the same requests with the same model and cache, one side at a time."""

    name: str

    def __init__(self, work: Work) -> None:
        self.work = work

    @abstractmethod
    def start(self) -> None:
        """The traffic from its beginning, every row filled; the GPU may still be busy."""

    @abstractmethod
    def step(self) -> None:
        """Host work, then one decode step of all rows."""

    @abstractmethod
    def stop(self) -> None:
        """Takes the results that are still in flight."""

    @property
    @abstractmethod
    def tokens(self) -> dict[int, list[int]]:
        """What each request got since ``start``, by its key."""

    def close(self) -> None:  # noqa: B027  most hold nothing
        """Gives back what only this side holds."""

    def host_work(self) -> None:
        busy(self.work.host_us)

    def prefill(self, prompt: Prompt, pages: object) -> None:
        self.work.model.prefill(pages, prompt.start, prompt.length)  # pyright: ignore[reportArgumentType]
