"""What the plans of a decode loop are made for."""

from __future__ import annotations

from dataclasses import dataclass

import metaplan as mp

Outputs = dict[str, mp.Value | mp.Out | mp.Change]


@dataclass(frozen=True, slots=True)
class Settings:
    """What the plans of a loop are made for.

    Attributes:
        drafts: draft tokens of a request that a step verifies, beside the last sampled one.
        page: tokens a page.
        longest: the most tokens of a sequence.
        pages: pages of the cache; page numbers lie below.
        vocabulary: token ids lie below.
        stop: token ids that end a request.
    """

    drafts: int = 0
    page: int = 16
    longest: int = 131072
    pages: int = 1 << 20
    vocabulary: int = 1 << 20
    stop: tuple[int, ...] = ()

    @property
    def queries(self) -> int:
        """Query tokens of a row."""
        return self.drafts + 1

    @property
    def width(self) -> int:
        """Pages of the longest sequence."""
        return -(-self.longest // self.page)
