"""The shipped plans compiled for a replay's settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from metaplan import ir
from metaplan.lang.plan import Plan
from metaplan.replay.reference import capacities
from metaplan.replay.settings import Settings


@dataclass(frozen=True, slots=True)
class Compiled:
    """A bound step and what its plan declares."""

    plan: Plan
    step: Any

    def arguments(
        self, inputs: Mapping[str, Any], held: Mapping[str, Any], put: Callable[[Any], Any]
    ) -> dict[str, Any]:
        """This step's call: tables that are held at the device, the rest moved there by ``put``."""
        declared = {one.name for one in self.plan.ir.inputs}
        given = {name: value for name, value in inputs.items() if name not in declared}
        for one in self.plan.ir.inputs:
            if one.name in held:
                given[one.name] = held[one.name]
            elif one.home is ir.Home.DEVICE:
                given[one.name] = put(inputs[one.name])
            else:
                given[one.name] = inputs[one.name]
        return given


def compiled(settings: Settings, device: str) -> dict[str, Compiled]:
    """Each shipped plan, with the geometry and the capacities of ``settings``, by name."""
    sizes = capacities(settings)
    return {
        name: Compiled(
            plan,
            plan.compile(
                device=device, target=None, lag=1, **sizes.get(name, {}), **_rows(name, settings)
            ),
        )
        for name, plan in plans(settings).items()
    }


def plans(settings: Settings) -> dict[str, Plan]:
    """Each shipped plan with the geometry of ``settings``, by name."""
    from metaplan.plans.engine_step import Group, engine_step
    from metaplan.plans.paged_decode import paged_decode
    from metaplan.plans.post_update import post_update
    from metaplan.plans.v4_decode import v4_decode

    first = settings.groups[0]
    return {
        "paged_decode": paged_decode(
            page=first.page,
            window=settings.window,
            ring=settings.ring,
            most=settings.query_len,
            max_model_len=settings.max_model_len,
            num_pages=settings.num_pages(first),
        ),
        "engine_step": engine_step(
            groups=tuple(Group(page=g.page, reach=g.reach) for g in settings.groups),
            drafts=settings.drafts,
            max_model_len=settings.max_model_len,
            max_tokens=settings.max_tokens,
        ),
        "post_update": post_update(drafts=settings.drafts),
        "v4_decode": v4_decode(settings),
    }


def _rows(name: str, settings: Settings) -> dict[str, int]:
    """Capacities of the dimensions that the oracles take from the arrays themselves."""
    states = settings.max_requests
    match name:
        case "paged_decode":
            return {"row": states}
        case "engine_step":
            return {"state": states, "model_len": settings.max_model_len}
        case "post_update":
            return {"req": states, "state": states, "model_len": settings.max_model_len}
        case _:
            return {}
