"""A shipped plan: its declaration and the capacities that its committed kernel is rendered for."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import FunctionType

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

    @property
    def family(self) -> str:
        """What the module of the plan says of itself, in one line."""
        return _first_line(sys.modules[self._function.__module__])

    @property
    def about(self) -> str:
        """What its function says of itself, in one line; nothing where the module says it all."""
        return _first_line(self._function)

    @property
    def _function(self) -> Callable[..., Plan]:
        """The function of the plan's name in its module; else ``declare``."""
        named = vars(sys.modules[self.declare.__module__])
        found = named.get(self.name) or named.get(self.plan.name)
        return found if isinstance(found, FunctionType) else self.declare


def _first_line(told: object) -> str:
    return (inspect.getdoc(told) or "").partition("\n")[0].replace("``", "")
