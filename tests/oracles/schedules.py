# pyright: basic
"""The schedules of attention kernels and of grouped multiplications as plain loops over lists of Python ints."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

Ints = Sequence[int]


def paged_mqa(lengths: Ints, processors: int, segment: int, first_more: bool) -> list[list[int]]:
    """Request and segment at which each processor begins, one more at the end."""
    line = [(r, s) for r, n in enumerate(lengths) for s in range(-(-n // segment))]
    each, rest = divmod(len(line), processors)
    starts, at = [], 0
    for processor in range(processors + 1):
        starts.append([*line[at]] if at < len(line) else [len(lengths), 0])
        more = processor < rest if first_more else processor >= processors - rest
        at += each + more
    return starts


def flash_mla(
    keys: Ints, parts: int, block: int, overhead: int
) -> tuple[list[list[int]], list[int]]:
    """Of each part: first and last request, first and one past the last block, the split it begins with,
    whether its first and last request are split, 0. And the number of splits before each request.
    """
    blocks = [max(-(-n // block), 1) for n in keys]
    payload = -(-sum(n + overhead for n in blocks) // parts) + overhead
    request = done = split = 0
    splits, schedule = [0], []
    for _ in range(parts):
        begin, room = (request, done, split), payload
        while request < len(keys) and room >= blocks[request] - done + overhead:
            room -= blocks[request] - done + overhead
            splits.append(splits[-1] + split + 1)
            request, done, split = request + 1, 0, 0
        if request < len(keys) and room > overhead:
            done, split = done + room - overhead, split + 1
        last = request if done else request - 1
        end = done or (blocks[last] if keys[last] else 0)
        cut = [begin[1] > 0, done > 0]
        if begin[0] == last:
            cut = [any(cut)] * 2
        schedule.append([begin[0], last, begin[1], end, begin[2], *map(int, cut), 0])
    return schedule, splits


def flashinfer_decode(
    pages: Ints, grid: int, kv_heads: int, least: int
) -> tuple[list[int], list[int], list[int], int]:
    """Request and chunk of each tile, the tiles before each request, and the pages of a chunk."""
    chunk = max([*pages, 1])
    if len(pages) * kv_heads < grid:
        chunk = least
        while chunk < max(pages, default=0):
            if sum(-(-n // chunk) for n in pages) * kv_heads <= grid:
                break
            chunk += 1
    tiles = [-(-max(n, 1) // chunk) for n in pages]
    requests = [r for r, n in enumerate(tiles) for _ in range(n)]
    chunks = [c for n in tiles for c in range(n)]
    return requests, chunks, [sum(tiles[:r]) for r in range(len(tiles) + 1)], chunk


def flashinfer_prefill(
    queries: Ints, pages: Ints, fit: int, group: int, tile_rows: int, reach: int, least: int
) -> tuple[list[list[int]], list[int], list[int], int]:
    """Request, tile and chunk of each program; the chunks before each token, the partial rows before each request,
    and the pages of a chunk.
    """
    tiles = [-(-n * group // tile_rows) for n in queries]
    read = [max(min(n, reach), 1) for n in pages]
    size = least
    while size < max(read, default=0):
        if sum(t * -(-n // size) for t, n in zip(tiles, read, strict=True)) <= fit:
            break
        size += 1
    chunks = [-(-n // size) for n in read]
    programs = [
        [r, t, c]
        for r, (m, n) in enumerate(zip(tiles, chunks, strict=True))
        for t in range(m)
        for c in range(n)
    ]
    by_token = [n for q, n in zip(queries, chunks, strict=True) for _ in range(q)]
    by_request = [q * n for q, n in zip(queries, chunks, strict=True)]
    merge, partial = ([0, *itertools.accumulate(x)] for x in (by_token, by_request))
    return programs, merge, partial, size


def moe_align(keys: Ints, buckets: int, block: int, numel: int) -> tuple[list[int], list[int]]:
    """Choices by bucket, each bucket filled up with ``numel`` to whole blocks, and the bucket of each block.

    Keys outside of the buckets are left out.
    """
    rows: list[int] = []
    owners: list[int] = []
    for bucket in range(buckets):
        own = [at for at, key in enumerate(keys) if key == bucket]
        tiles = -(-len(own) // block)
        rows += own + [numel] * (tiles * block - len(own))
        owners += [bucket] * tiles
    return rows, owners


def batched_moe_align(tokens: Ints, room: int, block: int) -> tuple[list[int], list[int], int]:
    """Rows of each batch in whole blocks, the batch of each block, and the live rows; -1 and one past all beyond."""
    none, each = len(tokens) * room, -(-room // block)
    rows: list[int] = []
    owners: list[int] = []
    for batch, n in enumerate(tokens):
        tiles = -(-n // block)
        rows += [batch * room + j if j < n else none for j in range(tiles * block)]
        owners += [batch] * tiles
    live = len(rows)
    rows += [none] * (len(tokens) * each * block - live)
    return rows, owners + [-1] * (len(tokens) * each - len(owners)), live
