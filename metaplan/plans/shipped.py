"""A shipped plan: its declaration and the capacities that its committed kernel is rendered for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from metaplan.lang.plan import Plan


@dataclass(frozen=True)
class Shipped:
    """``declare`` runs when the plan is first asked for."""

    name: str
    declare: Callable[[], Plan]
    sizes: Mapping[str, int]

    @cached_property
    def plan(self) -> Plan:
        return self.declare()
