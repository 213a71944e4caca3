# pyright: basic
"""Random steps of a server, and the nasty ones that have broken builders before."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

Array = np.ndarray


def lengths(
    rng: np.random.Generator, requests: int, page: int, most: int
) -> Iterator[tuple[str, Array]]:
    """Lengths of up to ``requests`` sequences of at most ``most`` tokens, int32, with what is special of them."""

    def some(n: int, low: int = 0) -> Array:
        return rng.integers(low, most + 1, n).astype(np.int32)

    whole = np.asarray([page, 2 * page, most, page], np.int32)[:requests]
    yield "one request", some(1, 1)
    yield "no requests", some(0)
    yield "every row live", some(requests)
    yield "empty rows", some(requests) * rng.integers(0, 2, requests).astype(np.int32)
    yield "all empty", np.zeros(requests, np.int32)
    yield "whole pages", whole
    yield "one token short of a page", whole - 1
    yield "one token in the next page", np.minimum(whole + 1, most)
    yield "capacity reached", np.full(requests, most, np.int32)
    for _ in range(4):
        yield "random", some(int(rng.integers(1, requests + 1)))


def table(rng: np.random.Generator, requests: int, width: int, pages: int = 1 << 16) -> Array:
    """Page numbers, int32[requests, width], from 1: page 0 is the engines' null page."""
    return rng.integers(1, pages, (requests, width)).astype(np.int32)


def served_lengths(rng: np.random.Generator, requests: int) -> Array:
    """Lengths as the benches take them, int32: uniform in 100..16384."""
    return rng.integers(100, 16385, requests).astype(np.int32)
