"""A decode loop's own plans: what the model needs of a step, what its samples change, what the host changes.

A row of the loop's tables is a request. ``lengths`` counts the tokens in its KV cache; the token after them is in
``last_tokens`` (sampled, not yet in the cache), drafts behind it in ``draft_tokens``. A row is live while its
length is below its limit; a row that is not is padding: its slots are -1 and its sequence is empty.
"""

from __future__ import annotations

from typing import Annotated

import metaplan as mp
from metaplan import i32, i64
from metaplan.plans.decode_pages import shrunk
from metaplan.plans.decode_settings import Outputs, Settings
from metaplan.plans.shipped import Shipped

__all__ = [
    "ENDED",
    "Settings",
    "decode_advance",
    "decode_change",
    "decode_commit",
    "decode_prepare",
    "shipped",
]

ENDED = 1 << 16
"""Added to the count of a row's tokens in ``results`` where its request is over."""


def decode_prepare(s: Settings, *, shrink: bool = False) -> mp.Plan:
    """The plan in front of the model: tokens, positions and KV slots of every row.

    Args:
        s: what the loop is made for.
        shrink: it also takes back pages on the device, as ``decode_shrink`` does: that saves a launch.
    """
    queries = s.queries

    @mp.plan
    def decode_prepare(
        lengths: Annotated[i32, "row", mp.between(0, s.longest)],
        limits: Annotated[i32, "row", mp.between(0, s.longest)],
        reserved: Annotated[i32, "row", mp.between(0, s.width * s.page)],
        last_tokens: Annotated[i64, "row", mp.below(s.vocabulary)],
        block_table: Annotated[i32, "row", "page", mp.below(s.pages)],
    ) -> Outputs:
        row = mp.axis("row")
        query = mp.dense(row, queries)
        live = lengths < limits
        end = mp.minimum(lengths + queries, limits)
        pos = lengths + query.offset
        token = last_tokens[row]
        if s.drafts:
            draft_tokens = mp.array(
                "draft_tokens", i64.KIND, "row", s.drafts, mp.below(s.vocabulary)
            )
            token = mp.where(
                query.offset == 0, token, draft_tokens[row, mp.maximum(query.offset - 1, 0)]
            )
        # The host reserves pages for its upper bound; a row that outgrows them is flagged and writes nothing there.
        spare = mp.expect(mp.where(live, reserved - end, 0), 0, s.longest + s.page)
        covered = mp.where(live, reserved - spare, 0)
        real = live & (pos < end)
        slot = i64(block_table[row, pos // s.page]) * s.page + i64(pos % s.page)
        fields: Outputs = dict(
            input_ids=mp.where(real, token, 0),
            positions=mp.where(real, i64(pos), 0),
            slot_mapping=mp.where(real & (pos < covered), slot, -1),
            seq_lens=mp.where(live, end, 0),
        )
        if shrink:
            fields |= shrunk(s, row, lengths, limits, reserved, block_table)
        return fields

    return decode_prepare


def decode_advance(s: Settings) -> mp.Plan:
    """The plan of a count that no sample decides: without drafts, every live row gets one token more."""

    @mp.plan
    def decode_advance(
        lengths: Annotated[i32, "row", mp.between(0, s.longest), mp.STATE],
        limits: Annotated[i32, "row", mp.between(0, s.longest)],
    ) -> Outputs:
        row = mp.axis("row")
        length = lengths[row]
        ran = i32(length < limits)
        return dict(ran=ran, lengths=mp.update(length, mp.minimum(length + ran, s.longest)))

    return decode_advance


def decode_commit(
    s: Settings,
    *,
    slots: int,
    counted: bool = False,
    drafted: bool = False,
    advanced: bool = False,
) -> mp.Plan:
    """The plan behind the model: lengths, next tokens and limits of every row, and what the host will read.

    Args:
        s: as for the plan before.
        slots: steps of results that are kept; step n is in ``results[n % slots]``.
        counted: whether the model says how many of its tokens hold; else the drafts that equal them do, and one more.
        drafted: whether the model gives drafts for the next step.
        advanced: whether ``decode_advance`` has run in this step: lengths are those of the next one.
    """
    queries = s.queries
    states = () if advanced else (mp.STATE,)

    @mp.plan
    def decode_commit(
        tokens: Annotated[i64, "row", queries, mp.below(s.vocabulary)],
        lengths: Annotated[i32, "row", mp.between(0, s.longest), *states],
        limits: Annotated[i32, "row", mp.between(0, s.longest), mp.STATE],
        last_tokens: Annotated[i64, "row", mp.below(s.vocabulary), mp.STATE],
        turn: Annotated[i32, "row", mp.below(slots), mp.STATE],
        results: Annotated[i32, slots, "row", queries + 1, mp.STATE],
    ) -> Outputs:
        row = mp.axis("row")
        column = mp.dense(row, queries + 1)
        length, limit = lengths[row], limits[row]
        live = length < limit
        count: mp.Integer = 1
        if advanced:
            count = mp.array("ran", i32.KIND, "row", mp.between(0, 1))[row]
            length = mp.maximum(length - count, 0)
            live = count > 0
        elif counted:
            count = mp.array("counts", i32.KIND, "row", mp.between(1, queries))[row]
        elif s.drafts:
            asked = mp.array("input_ids", i64.KIND, "row", queries, mp.below(s.vocabulary))
            count = queries
            for j in reversed(range(s.drafts)):
                count = mp.where(asked[row, j + 1] == tokens[row, j], count, j + 1)
        count = mp.where(live, mp.minimum(limit - length, count), 0)
        ended = length + count >= limit
        for j in reversed(range(queries if s.stop else 0)):
            is_stop = _among(tokens[row, j], s.stop)
            here = is_stop & (j < count)
            ended = here | ended
            count = mp.where(here, j + 1, count)
        end = length + count
        ended = live & ended
        here = turn[row]
        changes: Outputs = {} if advanced else dict(lengths=mp.update(lengths[row], end))
        changes |= dict(
            limits=mp.update(limit, end, where=ended),
            last_tokens=mp.update(
                last_tokens[row], tokens[row, mp.maximum(count - 1, 0)], where=live
            ),
            turn=mp.update(here, (here + 1) % slots),
            results=mp.update(
                results[turn[row], row, column.offset],
                mp.where(
                    column.offset == 0,
                    count + mp.where(ended, ENDED, 0),
                    i32(tokens[row, mp.maximum(column.offset - 1, 0)]),
                ),
            ),
        )
        if drafted:
            new = mp.array("next_drafts", i64.KIND, "row", s.drafts, mp.below(s.vocabulary))
            draft_tokens = mp.array(
                "draft_tokens", i64.KIND, "row", s.drafts, mp.below(s.vocabulary), mp.STATE
            )
            draft = mp.dense(row, s.drafts)
            changes["drafts"] = mp.update(draft_tokens[row, draft.offset], new[row, draft.offset])
        return changes

    return decode_commit


def _among(token: mp.Value, stop: tuple[int, ...]) -> mp.Value:
    """Whether ``token`` is one of ``stop``."""
    found = token == stop[0]
    for other in stop[1:]:
        found = found | (token == other)
    return found


def decode_change(s: Settings) -> mp.Plan:
    """The plan of what the scheduler changed: requests that enter or leave, and pages that rows were given."""

    @mp.plan
    def decode_change(
        rows: Annotated[i32, "entry", mp.HOST, mp.between(0, 1 << 20), mp.DISTINCT],
        new_lengths: Annotated[i32, "entry", mp.HOST, mp.between(0, s.longest)],
        new_limits: Annotated[i32, "entry", mp.HOST, mp.between(0, s.longest)],
        new_tokens: Annotated[i32, "entry", mp.HOST, mp.below(s.vocabulary)],
        grown: Annotated[i32, "patch", mp.HOST, mp.between(0, 1 << 20), mp.DISTINCT],
        starts: Annotated[i32, "patch", mp.HOST, mp.between(0, s.width)],
        counts: Annotated[i32, "patch", mp.HOST, mp.between(0, s.width)],
        new_pages: Annotated[i32, "cell", mp.HOST, mp.below(s.pages)],
        lengths: Annotated[i32, "row", mp.between(0, s.longest), mp.STATE],
        limits: Annotated[i32, "row", mp.between(0, s.longest), mp.STATE],
        reserved: Annotated[i32, "row", mp.between(0, s.longest + s.page), mp.STATE],
        last_tokens: Annotated[i64, "row", mp.below(s.vocabulary), mp.STATE],
        block_table: Annotated[i32, "row", "page", mp.below(s.pages), mp.STATE],
    ) -> Outputs:
        entry, patch = mp.axis("entry"), mp.axis("patch")
        row, to = rows[entry], grown[patch]
        return dict(
            lengths=mp.update(lengths[row], new_lengths),
            limits=mp.update(limits[row], new_limits),
            last_tokens=mp.update(last_tokens[row], i64(new_tokens)),
            reserved=mp.update(reserved[to], (starts + counts) * s.page),
            block_table=mp.patch(
                block_table, rows=grown, starts=starts, lengths=counts, contents=new_pages
            ),
        )

    return decode_change


def shipped() -> tuple[Shipped, ...]:
    """The loop of 1024 requests that verifies three drafts."""
    drafted = Settings(drafts=3, stop=(2,))
    tables = {"row": 1024, "page": 8192}
    return (
        Shipped("decode_prepare", lambda: decode_prepare(drafted), tables),
        Shipped("decode_advance", lambda: decode_advance(Settings()), {"row": 1024}),
        Shipped(
            "decode_commit", lambda: decode_commit(drafted, slots=3, drafted=True), {"row": 1024}
        ),
        Shipped(
            "decode_change",
            lambda: decode_change(drafted),
            {**tables, "entry": 1024, "patch": 1024, "cell": 65536},
        ),
    )
