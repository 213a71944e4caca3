"""A decode loop in which the host never waits for the step that it has just launched."""

from metaplan.loop.batch import Batch, Sampled
from metaplan.loop.bounds import Bounds
from metaplan.loop.loop import Loop
from metaplan.loop.request import Request
from metaplan.loop.results import Produced

__all__ = ["Batch", "Bounds", "Loop", "Produced", "Request", "Sampled"]
