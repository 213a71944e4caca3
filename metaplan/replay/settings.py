"""What a replayed server is: its limits, its KV-cache groups, its drafts and its model's geometry."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PageGroup:
    """A KV-cache group: tokens of a page; how far back it is read, 0: to the beginning."""

    page: int
    reach: int = 0


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that a replay depends on besides the trace; the seed decides every random draw."""

    max_requests: int = 64
    max_tokens: int = 2048
    """query tokens of a mixed step"""
    max_model_len: int = 16384
    drafts: int = 1
    """draft tokens of a request (MTP)"""
    acceptance: float = 0.7
    """probability that a draft is accepted when all before it were"""
    ragged: float = 0.25
    """share of the steps that verify fewer drafts than there are"""
    groups: tuple[PageGroup, ...] = (PageGroup(16), PageGroup(64, reach=1024))
    """of engine_step; paged_decode reads the first, which must have no reach"""
    pool_tokens: int = 1 << 20
    """tokens that the pages of each group hold together"""
    step_seconds: float = 0.05
    vocabulary: int = 32000
    dummy_every: int = 16
    """every so many steps the engine pads its batch with a dummy row; 0: never"""
    window: int = 128
    index_topk: int = 512
    block: int = 256
    """tokens of a DeepSeek-V4 block"""
    layer_ratios: tuple[int, ...] = (0, 4, 128, 4, 128, 4)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_tokens < self.max_requests * self.query_len:
            raise ValueError(
                f"max_tokens is {self.max_tokens}: write at least max_requests * (drafts + 1)"
                f" = {self.max_requests * self.query_len}, so that every request can decode"
            )
        if not self.groups or self.groups[0].reach:
            raise ValueError("groups: let the first be a PageGroup with reach 0")
        if self.pool_tokens < self.max_model_len + max(g.page for g in self.all_groups):
            raise ValueError(f"pool_tokens is {self.pool_tokens}: write more than max_model_len")

    @property
    def query_len(self) -> int:
        """Query tokens of a request that verifies all its drafts."""
        return self.drafts + 1

    @property
    def room(self) -> int:
        """Tokens beyond the answer that an optimistic host may reach before it learns of the end."""
        return 2 * self.drafts + 2

    @property
    def ring(self) -> int:
        """Slots of the ring that holds a window and the drafts that may be rejected."""
        return self.window + self.drafts

    @property
    def all_groups(self) -> tuple[PageGroup, ...]:
        """The groups of engine_step and, last, the blocks of v4_decode."""
        return (*self.groups, PageGroup(self.block))

    def columns(self, group: PageGroup) -> int:
        """Columns of a block table of ``group``."""
        return -(-self.max_model_len // group.page)

    def num_pages(self, group: PageGroup) -> int:
        """Pages in the pool of ``group``; page 0 is never handed out."""
        return self.pool_tokens // group.page

    def graph(self, rows: int) -> int:
        """Requests of the smallest captured graph that holds ``rows``: a power of two, then 16s."""
        size = 1 << max(rows - 1, 0).bit_length() if rows <= 16 else -(-rows // 16) * 16
        return min(size, self.max_requests)
