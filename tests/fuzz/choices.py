"""How a drawn plan is built: its own schedule, another legal one, or as if a few points were thousands."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from metaplan.schedule import LIMITS, Limits, Schedule
from metaplan.target import Target

PROCESSORS = (1, 2, 8, 32)
WITHIN = (("lanes", "long"), ("wide_lanes", "lanes"), ("packed_lanes", "long"))
"""Of two limits the first is at most the second."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What a build is given beside the plan and its sizes."""

    change: Callable[[Schedule], Schedule] | None = None
    limits: Limits = LIMITS
    processors: int | None = None

    def on(self, target: Target) -> Target:
        return target if self.processors is None else replace(target, processors=self.processors)


def choice(seed: int) -> Choice:
    """The choice of ``seed``: half of them force a schedule, of the others two of three shrink the limits."""
    from tests.interp.schedules import CHANGES

    rng = random.Random(seed)
    change = rng.choice([*CHANGES, *[None] * len(CHANGES)])
    if change is not None:
        return Choice(CHANGES[change])
    if rng.random() < 1 / 3:
        return Choice()
    return Choice(None, small(rng), rng.choice(PROCESSORS))


def small(rng: random.Random) -> Limits:
    """Limits of which many are a fraction of what they were measured to be: a tile holds a few points only."""
    drawn = {n: rng.choice([0, 0, 3, 5, 7, 9, 12, 16]) for n in asdict(LIMITS)}
    made = {n: max(v >> drawn[n], 1) for n, v in asdict(LIMITS).items()}
    for small_one, large in WITHIN:
        made[small_one] = min(made[small_one], made[large])
    return Limits(**made)
