"""Copies of a plan: the same formulas for every draft step, or for every group of layers."""

from __future__ import annotations

from dataclasses import dataclass

from metaplan import catalogue, ir
from metaplan.errors import Loc
from metaplan.lang import demands
from metaplan.lang.tracing import tracing
from metaplan.lang.values import Value
from metaplan.naming import assigned_name


@dataclass(frozen=True, slots=True)
class Copies:
    """``count`` copies of all that mentions ``index``; each such output gets a leading dimension."""

    which: ir.Which

    @property
    def name(self) -> str:
        return self.which.name

    @property
    def index(self) -> Value:
        """int32: the number of the copy that computes, 0 to ``count - 1``; on no axis."""
        return Value(ir.Which(self.name, self.count))

    @property
    def count(self) -> int:
        return self.which.count


def steps(count: int, *, name: str | None = None) -> Copies:
    """``count`` draft steps: what mentions ``step.index`` is computed for each, ``[step, ...]``."""
    return _copies("steps", count, name)


def groups(count: int, *, name: str | None = None) -> Copies:
    """``count`` KV-cache groups: what mentions ``group.index`` is computed for each, ``[group, ...]``.

    ``mp.choose(group.index, 16, 64)`` is what differs from group to group: a page size, a stride, a flag.
    """
    return _copies("groups", count, name)


def _copies(word: str, count: int, name: str | None) -> Copies:
    loc = Loc.here()
    label = name if name is not None else assigned_name(loc)
    if label is None:
        raise catalogue.unnamed_copies(word, loc)
    demands.name("copies", label, loc, demands.COMPILE)
    demands.size(f"the number of copies that mp.{word} makes", count, loc)
    return Copies(tracing(word).declare_copies(ir.Which(label, count, loc=loc)))
