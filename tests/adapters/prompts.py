# pyright: basic
"""Prompts of unequal lengths, padded on the left as generate wants them, and token ids that end rows."""

from __future__ import annotations

from itertools import combinations

import torch

from tests.adapters.models import VOCABULARY

PAD = 0


def prompts(rows: int, count: int, seed: int = 0, device: str = "cpu"):
    """int64[rows, count] and its mask: the first row is full, each other as long as chance says."""
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, VOCABULARY, (rows, count), generator=draw)
    mask = torch.ones_like(ids)
    for row in range(1, rows):
        missing = int(torch.randint(0, count, (1,), generator=draw))
        ids[row, :missing], mask[row, :missing] = PAD, 0
    return ids.to(device), mask.to(device)


def endings(generated: torch.Tensor, most: int = 2) -> tuple[list[int], list[int]]:
    """Of rows without an end: ids that end them at differing places, and ids that end every row early.

    The second list is empty where no ``most`` ids do.
    """
    rows = generated.tolist()
    every = sorted({t for row in rows for t in row[1:]} - {PAD})

    def places(ids) -> list[int]:
        return [next((i for i, t in enumerate(row) if t in ids), len(row)) for row in rows]

    differing = max(every, key=lambda t: (len(set(places([t]))), max(places([t]))))

    def inside(ids: tuple[int, ...]) -> bool:
        return max(places(ids)) < len(rows[0]) - 3

    early = next((list(ids) for ids in combinations(every, most) if inside(ids)), [])
    return [differing], early
