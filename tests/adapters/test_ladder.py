# pyright: basic
"""Every rung of the ladder that bench times makes the tokens of the naive loop."""

from __future__ import annotations

import pytest
import torch

from bench.ladder.checked import check
from bench.ladder.rungs import RUNGS
from bench.ladder.shape import Shape

pytestmark = pytest.mark.adapters


def test_every_rung_makes_the_same_tokens() -> None:
    found = check("tiny", "cpu", torch.float32, Shape(4, 10, 40), RUNGS)
    assert found["equal"] == dict.fromkeys(RUNGS, found["cases"])
    assert found["new"][2] < 40


def test_a_rung_that_errs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that ends a step late."""
    right = RUNGS["KV cache"]

    def late(model, shape):
        generate = right(model, shape)
        return lambda ids: torch.cat([generate(ids), ids[:, :1]], 1)

    monkeypatch.setitem(RUNGS, "late", late)
    found = check("tiny", "cpu", torch.float32, Shape(2, 10, 20), ["KV cache", "late"])
    assert found["equal"] == {"KV cache": found["cases"], "late": 0}
