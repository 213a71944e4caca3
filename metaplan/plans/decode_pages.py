"""Free pages on the device: what gives rows the pages that a step needs, and takes back what they need no longer.

``free_pages`` is a stack: its first ``free`` cells hold the pages that no row has. Before a step a row needs pages for
its true length and the step's queries, up to its limit; a row that is over needs none. ``decode_grow`` takes what rows
lack from the top of the stack and appends it to their rows of ``block_table``; ``decode_shrink`` puts what they have too
much on top. A plan sums up ``reserved`` over the rows in front of each, so that it cannot change it in place: there are
two sides of ``reserved`` and ``free``, and each plan reads one and writes the other. Two plans lead back to the first.
"""

from __future__ import annotations

from typing import Annotated

import metaplan as mp
from metaplan import i32, i64
from metaplan.lang.axes import Axis
from metaplan.plans.decode_settings import Outputs, Settings
from metaplan.plans.shipped import Shipped


def decode_grow(s: Settings, *, entering: bool = False) -> mp.Plan:
    """The plan that gives each live row the pages that its next step needs.

    Where the stack has too few, the rows in front get theirs, a flag counts the step, and the others get none.

    Args:
        s: what the loop is made for.
        entering: for rows that have none for their prompts yet; else a row gets what a step may add to it at most.
    """
    most = s.width if entering else -(-s.queries // s.page)

    @mp.plan
    def decode_grow(
        lengths: Annotated[i32, "row", mp.between(0, s.longest)],
        limits: Annotated[i32, "row", mp.between(0, s.longest)],
        reserved: Annotated[i32, "row", mp.between(0, s.width * s.page)],
        free: Annotated[i32, 1, mp.between(0, s.pages)],
        free_pages: Annotated[i32, s.pages, mp.below(s.pages)],
        next_reserved: Annotated[i32, "row", mp.STATE],
        next_free: Annotated[i32, 1, mp.STATE],
        block_table: Annotated[i32, "row", "page", mp.below(s.pages), mp.STATE],
    ) -> Outputs:
        row = mp.axis("row")
        owned = reserved // s.page
        lacking = mp.minimum(mp.maximum(_needed(s, lengths, limits) - owned, 0), most)
        new = mp.ragged(row, lacking)
        there = free[0]
        given = mp.minimum(lacking, mp.maximum(there - new.indptr, 0))
        return dict(
            block_table=mp.update(
                block_table[row, owned + new.offset],
                free_pages[there - 1 - new.index],
                where=new.index < there,
            ),
            next_reserved=mp.update(next_reserved[row], (owned + given) * s.page),
            # The host admits no request whose pages it cannot promise, so that the stack never runs empty.
            next_free=mp.update(next_free[0], mp.expect(there - new.size, 0, s.pages)),
        )

    return decode_grow


def decode_shrink(s: Settings) -> mp.Plan:
    """The plan that takes back the pages of rows that are over, and those that a new owner does not need."""

    @mp.plan
    def decode_shrink(
        lengths: Annotated[i32, "row", mp.between(0, s.longest)],
        limits: Annotated[i32, "row", mp.between(0, s.longest)],
        reserved: Annotated[i32, "row", mp.between(0, s.width * s.page)],
        block_table: Annotated[i32, "row", "page", mp.below(s.pages)],
    ) -> Outputs:
        return shrunk(s, mp.axis("row"), lengths, limits, reserved, block_table)

    return decode_shrink


def shrunk(
    s: Settings,
    row: Axis,
    lengths: i32,
    limits: i32,
    reserved: i32,
    block_table: i32,
) -> Outputs:
    """What ``decode_shrink`` updates, for a plan that has these inputs already."""
    free = mp.array("free", i32.KIND, 1, mp.between(0, s.pages))
    free_pages = mp.array("free_pages", i32.KIND, s.pages, mp.below(s.pages), mp.STATE)
    next_reserved = mp.array("next_reserved", i32.KIND, "row", mp.STATE)
    next_free = mp.array("next_free", i32.KIND, 1, mp.STATE)
    owned = reserved // s.page
    kept = mp.minimum(owned, _needed(s, lengths, limits))
    old = mp.ragged(row, owned - kept)
    there = free[0]
    return dict(
        free_pages=mp.update(free_pages[there + old.index], block_table[row, kept + old.offset]),
        next_reserved=mp.update(next_reserved[row], kept * s.page),
        next_free=mp.update(next_free[0], mp.minimum(there + old.size, s.pages)),
    )


def _needed(s: Settings, lengths: i32, limits: i32) -> mp.Value:
    """Pages of a row: those of its true length and of a step's queries."""
    end = mp.minimum(lengths + s.queries, limits)
    return mp.where(lengths < limits, mp.cdiv(end, s.page), 0)


def decode_enter(s: Settings) -> mp.Plan:
    """The plan of what the scheduler changed where the device has the pages: requests that enter or leave."""

    @mp.plan
    def decode_enter(
        rows: Annotated[i32, "entry", mp.HOST, mp.between(0, 1 << 20), mp.DISTINCT],
        new_lengths: Annotated[i32, "entry", mp.HOST, mp.between(0, s.longest)],
        new_limits: Annotated[i32, "entry", mp.HOST, mp.between(0, s.longest)],
        new_tokens: Annotated[i32, "entry", mp.HOST, mp.below(s.vocabulary)],
        lengths: Annotated[i32, "row", mp.between(0, s.longest), mp.STATE],
        limits: Annotated[i32, "row", mp.between(0, s.longest), mp.STATE],
        last_tokens: Annotated[i64, "row", mp.below(s.vocabulary), mp.STATE],
    ) -> Outputs:
        entry = mp.axis("entry")
        row = rows[entry]
        return dict(
            lengths=mp.update(lengths[row], new_lengths),
            limits=mp.update(limits[row], new_limits),
            last_tokens=mp.update(last_tokens[row], i64(new_tokens)),
        )

    return decode_enter


def shipped() -> tuple[Shipped, ...]:
    """The loop of 1024 requests that verifies three drafts, over a cache of a million tokens."""
    drafted = Settings(drafts=3, pages=1 << 16, stop=(2,))
    tables = {"row": 1024, "page": 8192}
    return (
        Shipped("decode_grow", lambda: decode_grow(drafted), tables),
        Shipped("decode_shrink", lambda: decode_shrink(drafted), tables),
        Shipped("decode_enter", lambda: decode_enter(drafted), {"row": 1024, "entry": 1024}),
    )
