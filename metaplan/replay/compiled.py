"""The shipped plans compiled for a replay's settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metaplan import ir
from metaplan.lang.plan import Plan
from metaplan.replay.settings import Settings

if TYPE_CHECKING:
    from metaplan.plans.v4_decode import Model


Array = NDArray[Any]


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
                given[one.name] = put(self._whole(one.name, inputs[one.name]))
            else:
                given[one.name] = inputs[one.name]
        return given

    def _whole(self, name: str, value: Array) -> Array:
        """``value`` with the rows that its axis may have; a root axis may be as long as it is."""
        slot = self.step.arguments[name]
        missing = slot.capacity[0] - len(value)
        if slot.roots[0] or missing <= 0:
            return value
        return np.concatenate((value, np.zeros((missing, *value.shape[1:]), value.dtype)))


def compiled(settings: Settings, device: str) -> dict[str, Compiled]:
    """Each shipped plan, with the geometry and the capacities of ``settings``, by name."""
    sizes = capacities(settings)
    return {
        name: Compiled(
            plan,
            plan.compile(
                device=device, target=None, lag=1, dependent=False, into=None, **sizes[name]
            ),
        )
        for name, plan in plans(settings).items()
    }


def plans(settings: Settings) -> dict[str, Plan]:
    """Each shipped plan with the geometry of ``settings``, by name."""
    from metaplan.plans.engine_step import Group, engine_step, post_update
    from metaplan.plans.paged_decode import paged_decode
    from metaplan.plans.v4_decode import v4_decode

    first, drafts, longest = settings.groups[0], settings.drafts, settings.max_model_len
    groups = tuple(Group(group.page, group.reach) for group in settings.groups)
    return {
        "paged_decode": paged_decode(
            page=first.page,
            window=settings.window,
            ring=settings.ring,
            most=settings.query_len,
            max_model_len=longest,
            num_pages=settings.num_pages(first),
        ),
        "engine_step": engine_step(
            groups=groups,
            drafts=drafts,
            max_model_len=longest,
            max_tokens=settings.max_tokens,
            vocabulary=settings.vocabulary,
        ),
        "post_update": post_update(
            drafts=drafts,
            max_model_len=longest,
            max_tokens=settings.max_tokens,
            vocabulary=settings.vocabulary,
        ),
        "v4_decode": v4_decode(_model(settings), topk=True),
    }


def capacities(settings: Settings) -> dict[str, dict[str, int]]:
    """Capacities of each plan's axes and tables, as ``compile`` takes them."""
    states = settings.max_requests
    pages = {f"page_{g}": settings.columns(group) for g, group in enumerate(settings.groups)}
    tables = {"state": states, "model_len": settings.max_model_len}
    return {
        "paged_decode": {
            "req": states,
            "tok": states * settings.query_len,
            "page_col": settings.columns(settings.groups[0]),
            "row": states,
        },
        "engine_step": {"req": states, "tok": settings.max_tokens, **tables, **pages},
        "post_update": {"req": states, **tables},
        "v4_decode": {"req": states, "tok": states * settings.query_len},
    }


def _model(settings: Settings) -> Model:
    """DeepSeek-V4 with the layers and the pool of ``settings``."""
    from metaplan.plans.v4_decode import Model
    from metaplan.plans.v4_rows import rows_of

    blocks, slots = settings.num_pages(settings.all_groups[-1]), 2 * settings.max_requests
    rows = rows_of(
        settings.layer_ratios,
        window=settings.window,
        drafts=settings.drafts,
        block=settings.block,
        num_blocks=blocks,
        num_slots=slots,
    )
    return Model(
        rows,
        drafts=settings.drafts,
        window=settings.window,
        block=settings.block,
        topk=settings.index_topk,
        max_model_len=settings.max_model_len,
        num_groups=slots,
        num_blocks=blocks,
    )
