# pyright: basic
"""The plan of transformers_decode: kernel, meaning and generate's own lines, written as loops, agree."""

from __future__ import annotations

import numpy as np
import pytest
from differential import Compiled, compare

from metaplan.plans.transformers_decode import transformers_decode

pytestmark = pytest.mark.interp
ROWS, LONGEST = 6, 40


def batch(rng: np.random.Generator, live: int, stops: int) -> dict:
    length = int(rng.integers(1, LONGEST))
    finished = rng.integers(0, 3, ROWS) == 0
    return dict(
        sampled=rng.integers(0, 6, ROWS),
        stop_tokens=rng.integers(-1, 6, stops),
        pad_token=np.array([rng.integers(0, 6)]),
        prompt_mask=rng.integers(0, 4, (ROWS, LONGEST)) > 0,
        finished=finished,
        lengths=np.full(ROWS, length, np.int32),
        positions=rng.integers(0, LONGEST, ROWS),
        tokens=rng.integers(0, 6, (ROWS, LONGEST)),
        unfinished=np.array([live - int(finished[:live].sum())], np.int32),
        req=live,
    )


def generate(given: dict, window: int) -> dict:
    """A pass of _sample's loop over the rows, on the dense tensors that it would have."""
    made = {n: given[n].copy() for n in ("finished", "lengths", "positions", "tokens")}
    made["input_ids"], made["position_ids"] = {}, {}
    made["full_attention"], made["sliding_attention"] = {}, {}
    left = 0
    for row in range(given["req"]):
        column = int(given["lengths"][row])
        token = given["pad_token"][0] if given["finished"][row] else given["sampled"][row]
        made["tokens"][row, column] = made["input_ids"][row] = token
        if token in given["stop_tokens"]:
            made["finished"][row] = True
        left += not made["finished"][row]
        made["positions"][row] += 1
        made["position_ids"][row] = made["positions"][row]
        made["lengths"][row] = min(column + 1, LONGEST - 1)
        sees = [bool(given["prompt_mask"][row, c]) and c <= column for c in range(LONGEST)]
        made["full_attention"][row] = sees
        made["sliding_attention"][row] = [s and c > column - window for c, s in enumerate(sees)]
    made["unfinished"] = np.array([left])
    return made


@pytest.mark.parametrize(("stops", "window"), [(1, 0), (2, 5), (3, 1)])
def test_kernel_meaning_and_loops_agree(stops: int, window: int) -> None:
    plan = transformers_decode(longest=LONGEST, stops=stops, window=window)
    one = Compiled(plan.ir, {"req": ROWS})
    rng = np.random.default_rng(stops)
    for seed, live in enumerate((1, ROWS, 0, 3, ROWS, ROWS - 1)):
        given = batch(rng, live, stops)
        filled = compare(one, given, seed)
        want = generate(given, window)
        for name, values in want.items():
            if name == "sliding_attention" and not window:
                continue
            rows = values.items() if isinstance(values, dict) else enumerate(values)
            for row, value in rows:
                assert np.array_equal(filled[name][row], value), (name, row)
        if live:
            assert filled["cache_position"].tolist() == [given["lengths"][0]]
