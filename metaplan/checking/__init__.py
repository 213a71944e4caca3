"""A plan against its own meaning: random batches through the kernel, and a compilation per target."""

from metaplan.checking.check import Result, check, count

__all__ = ["Result", "check", "count"]
