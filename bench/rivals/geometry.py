# pyright: basic
"""The constants of a DeepSeek-V4 row pool that the rivals need, taken once from the oracle's configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

CLASSES = ("swa", "csa", "hca")  # windows of the dense, 4:1 and 128:1 layers
RATIOS = (0, 4, 128)


@dataclass(frozen=True, slots=True)
class Ring:
    """Where the window rows of one layer class lie: runs of ``stride`` rows, one run every ``run`` rows."""

    size: int
    slot_rows: int
    start: int
    stride: int
    run: int

    def row(self, slot: Any, position: Any) -> Any:
        """Pool row of ``position`` in ``slot``; works on whatever has floor division."""
        at = position % self.size
        run = at // self.stride
        return slot * self.slot_rows + self.start + run * self.run + at % self.stride


@dataclass(frozen=True, slots=True)
class V4:
    """``queries`` tokens a request, ``window`` positions, ``topk`` entries, pages of ``block`` tokens; a ring a class."""

    queries: int
    window: int
    topk: int
    block: int
    slot_positions: int
    envelope_rows: int
    rings: tuple[Ring | None, Ring | None, Ring | None]

    @classmethod
    def of(cls, cfg: Any, pool: Any) -> V4:
        """From the ``Cfg`` and ``Pool`` of the oracle."""
        rings = tuple(
            Ring(pool.ring, pool.slot_rows, pool.ring_start(c), pool.stride[c], pool.run_rows(c))
            if c in pool.classes
            else None
            for c in RATIOS
        )
        return cls(
            cfg.q, cfg.W, cfg.index_topk, cfg.block, pool.slot_positions, pool.envelope_rows, rings
        )  # type: ignore[arg-type]
