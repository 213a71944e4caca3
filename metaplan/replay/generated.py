"""Generates a trace that has the published statistics of an hour of real traffic."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metaplan.replay.trace import Trace


@dataclass(frozen=True, slots=True)
class Statistics:
    """Poisson arrivals and log-normal lengths; (mean, deviation) are those of the logarithm.

    Fitted to the Azure LLM inference trace of 2023 (Patel et al., "Splitwise", ISCA 2024).
    """

    name: str
    requests_per_second: float
    context: tuple[float, float]
    generated: tuple[float, float]
    most_context: int
    most_generated: int


CONVERSATION = Statistics("conversation", 5.53, (6.633, 0.985), (5.019, 0.859), 14050, 1000)
CODE = Statistics("code", 2.57, (6.999, 1.360), (2.788, 0.847), 7437, 1899)


def generate(statistics: Statistics, requests: int, seed: int) -> Trace:
    """``requests`` requests drawn from ``statistics``; the same seed gives the same trace."""
    rng = np.random.default_rng(seed)
    gaps = rng.exponential(1 / statistics.requests_per_second, requests)
    arrival = np.cumsum(gaps)
    return Trace(
        f"{statistics.name} (generated)",
        arrival - (arrival[0] if requests else 0.0),
        _lengths(rng, statistics.context, statistics.most_context, requests),
        _lengths(rng, statistics.generated, statistics.most_generated, requests),
    )


def _lengths(
    rng: np.random.Generator, logarithm: tuple[float, float], most: int, requests: int
) -> NDArray[np.int32]:
    drawn = rng.lognormal(*logarithm, requests)
    return np.clip(np.rint(drawn), 1, most).astype(np.int32)
