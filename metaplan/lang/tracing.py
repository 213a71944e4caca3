"""The plan that is being declared right now: what its function has declared so far."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar

from metaplan import catalogue, ir
from metaplan.errors import Loc

A = TypeVar("A", ir.Root, ir.Dense, ir.Ragged, ir.Part)


@dataclass(slots=True)
class Trace:
    """Axes, inputs, copies and kernels of the user's own in the order of their declaration."""

    axes: list[ir.Axis] = field(default_factory=list[ir.Axis])
    copies: list[ir.Which] = field(default_factory=list[ir.Which])
    inputs: list[ir.Input] = field(default_factory=list[ir.Input])
    kernels: list[Any] = field(default_factory=list[Any])
    numbered: int = 0

    def number(self) -> int:
        """A number that no other search or fold of this plan has."""
        self.numbered += 1
        return self.numbered

    def declare(self, axis: A) -> A:
        if any(a.name == axis.name for a in (*self.axes, *self.copies)):
            raise catalogue.duplicate_name("axis", axis.name, axis.loc)
        self.axes.append(axis)
        return axis

    def declare_copies(self, which: ir.Which) -> ir.Which:
        if any(a.name == which.name for a in (*self.axes, *self.copies)):
            raise catalogue.duplicate_name("copies", which.name, which.loc)
        self.copies.append(which)
        return which

    def declare_input(self, given: ir.Input) -> ir.Input:
        if any(i.name == given.name for i in self.inputs):
            raise catalogue.duplicate_name("input", given.name, given.loc)
        self.inputs.append(given)
        return given


CURRENT: ContextVar[Trace | None] = ContextVar("metaplan_trace", default=None)


def tracing(word: str) -> Trace:
    """The trace in progress; an error for a word used outside a plan."""
    trace = CURRENT.get()
    if trace is None:
        raise catalogue.outside_plan(word, Loc.here())
    return trace
