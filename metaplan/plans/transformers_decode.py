"""transformers' generate: what a greedy step over a static cache leaves for the next one."""

from __future__ import annotations

from typing import Annotated

import metaplan as mp
from metaplan import boolean, i32, i64
from metaplan.plans.shipped import Shipped


def transformers_decode(*, longest: int = 1024, stops: int = 1, window: int = 0) -> mp.Plan:
    """The plan that runs behind a step's argmax: tokens, stops, positions, masks, counters.

    It restates transformers' GenerationMixin._sample, _update_model_kwargs_for_generation and
    masking_utils. All rows are padded to one length, so a step writes one column of the cache.

    Args:
        longest: columns of the cache: the padded prompt and what is generated behind it.
        stops: how many token ids end a row. One that no model samples, such as -1, ends none.
        window: columns that a sliding layer sees, its own included; 0 where there is no such layer.
    """

    @mp.plan
    def transformers_decode(
        sampled: Annotated[i64, "req"],
        stop_tokens: Annotated[i64, stops],
        pad_token: Annotated[i64, mp.below(1 << 31)],
        prompt_mask: Annotated[boolean, "req", longest],
        finished: Annotated[boolean, "req", mp.STATE],
        lengths: Annotated[i32, "req", mp.between(1, longest - 1), mp.STATE],
        positions: Annotated[i64, "req", mp.STATE],
        tokens: Annotated[i64, "req", longest, mp.STATE],
        unfinished: Annotated[i32, 1, mp.STATE],
    ) -> mp.Outputs:
        req = mp.axis("req")
        batch = mp.dense(None, 1)
        stop = mp.dense(req, stops)
        column = mp.dense(req, longest)
        token = mp.where(finished, pad_token, sampled)
        ends = ~finished & mp.any(token == stop_tokens[stop.offset], over=stop)
        sees = prompt_mask[req, column.offset] & (column.offset <= lengths)
        first = req.index == 0
        outputs: mp.Outputs = dict(
            input_ids=token,
            position_ids=positions + 1,
            cache_position=mp.put(
                batch, 0 * req.index, i64(lengths), where=first, combine="distinct"
            ),
            full_attention=sees,
            tokens=mp.update(tokens[req, lengths], token),
            finished=mp.update(finished[req], finished | ends),
            lengths=mp.update(lengths[req], mp.minimum(lengths + 1, longest - 1)),
            positions=mp.update(positions[req], positions + 1),
            unfinished=mp.update(unfinished[0 * req.index], -1, where=ends, combine="add"),
        )
        if window:
            outputs["sliding_attention"] = sees & (column.offset > lengths - window)
        return outputs

    return transformers_decode


def shipped() -> tuple[Shipped, ...]:
    return (
        Shipped(
            "transformers_decode",
            lambda: transformers_decode(stops=2, window=512),
            {"req": 128},
        ),
    )
