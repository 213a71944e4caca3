"""The shipped plans, written in the language like anybody's."""

from __future__ import annotations

from dataclasses import dataclass

from metaplan.lang.plan import Plan


@dataclass(frozen=True, slots=True)
class Shipped:
    """A plan with the capacities that its committed kernel is rendered for."""

    name: str
    plan: Plan
    sizes: dict[str, int]


def shipped() -> dict[str, Shipped]:
    """Every shipped plan by name: at 1024 requests x 8 query tokens, the README's at 256 x 4."""
    from metaplan.plans.decode_slots import decode_slots
    from metaplan.plans.engine_step import Group, engine_step, post_update
    from metaplan.plans.paged_decode import paged_decode
    from metaplan.plans.v4_decode import Model, v4_decode
    from metaplan.plans.v4_rows import rows_of

    drafts, states = 7, 1024
    groups = (Group(16), Group(16, reach=128))
    layers = (0, 4, 128, 4, 128, 4)
    rows = rows_of(layers, window=128, drafts=drafts, num_blocks=1 << 16, num_slots=1 << 12)
    plans = (
        Shipped("decode_slots", decode_slots, {"req": 256}),
        Shipped(
            "paged_decode", paged_decode(table_rows=1024), {"req": 1024, "tok": 8192, "row": 1024}
        ),
        Shipped(
            "engine_step",
            engine_step(groups=groups, drafts=drafts, states=states),
            {
                "req": 1024,
                "tok": 8192,
                "state": states,
                "page_0": 8192,
                "page_1": 8192,
                "model_len": 131072,
            },
        ),
        Shipped(
            "post_update",
            post_update(drafts=drafts, states=states),
            {"req": 1024, "state": states, "model_len": 131072},
        ),
        Shipped("v4_decode", v4_decode(Model(rows, drafts=drafts)), {"req": 1024}),
    )
    return {s.name: s for s in plans}
