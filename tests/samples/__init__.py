"""Small plans, one for each primitive of the language, each beside the loops that say what it means."""

from __future__ import annotations

from tests.samples import (
    arithmetic,
    asking,
    copying,
    drawn,
    drawn_asked,
    drawn_places,
    drawn_sums,
    folding,
    memory,
    narrow,
    nesting,
    ordering,
    patching,
    scattering,
    searching,
    selecting,
    splitting,
    summing,
    tails,
)
from tests.samples.core import SAMPLES, Arrays, Loops, Sample

__all__ = [
    "SAMPLES",
    "Arrays",
    "Loops",
    "Sample",
    "arithmetic",
    "asking",
    "copying",
    "drawn",
    "drawn_asked",
    "drawn_places",
    "drawn_sums",
    "folding",
    "memory",
    "narrow",
    "nesting",
    "ordering",
    "patching",
    "scattering",
    "searching",
    "selecting",
    "splitting",
    "summing",
    "tails",
]
