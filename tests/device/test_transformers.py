# pyright: basic
"""The generator on a GPU: generate's tokens from replayed graphs, and nothing that waits between them."""

from __future__ import annotations

import pytest
import torch

import metaplan as mp
from metaplan.adapters.transformers import Generator
from tests.adapters.models import CONFIGS, LONGEST, model
from tests.adapters.prompts import PAD, endings, prompts

pytestmark = pytest.mark.device
NEVER = 62


def generated(one, ids, mask, most, eos=NEVER):
    return one.generate(
        ids, attention_mask=mask, max_new_tokens=most, do_sample=False,
        eos_token_id=eos, pad_token_id=PAD,
    )  # fmt: skip


def generator(one, eos=NEVER, **sizes) -> Generator:
    return Generator(
        one, eos_token_id=eos, pad_token_id=PAD, **({"batch": 4, "longest": 150} | sizes)
    )


@pytest.mark.parametrize("name", CONFIGS)
def test_tokens_are_those_of_generate(name: str) -> None:
    """Rows below a bucket, more columns than the narrowest graph reads, one generator for all calls."""
    one = model(name, device="cuda")
    ours = generator(one)
    for seed, (rows, count, most) in enumerate([(3, 14, 40), (1, 1, 9), (4, 60, 80), (3, 2, 30)]):
        ids, mask = prompts(rows, count, seed, "cuda")
        got = ours.generate(ids, mask, max_new_tokens=most)
        assert got.tolist() == generated(one, ids, mask, most).tolist()


@pytest.mark.parametrize("lag", [0, 1, 3])
def test_rows_end_where_generate_ends_them(lag: int) -> None:
    cut = 0
    for seed in range(4):
        one = model("llama", seed, device="cuda")
        ids, mask = prompts(4, 10, seed, "cuda")
        for eos in filter(None, endings(generated(one, ids, mask, 40)[:, 10:])):
            want = generated(one, ids, mask, 40, eos)
            got = generator(one, eos, lag=lag).generate(ids, mask, max_new_tokens=40)
            assert got.tolist() == want.tolist()
            cut += want.shape[1] < 50
    assert cut


def test_steps_wait_for_nothing() -> None:
    one = model("gpt2", device="cuda")
    ours = generator(one)
    ids, mask = prompts(3, 10, 0, "cuda")
    ours.generate(ids, mask, max_new_tokens=30)
    ours.start(ids, mask)

    def steps() -> None:
        for step in range(1, 5):
            ours.advance(3, 10 + step)
            ours.unfinished.push(step)

    mp.assert_sync_free(steps)
    with mp.assert_sync_free():
        steps()


def test_a_graph_is_recorded_once() -> None:
    """For each number of rows and of columns, whatever the prompts and the order of calls."""
    one = model("qwen2", device="cuda")
    ours = generator(one, longest=LONGEST)
    recorded: list[tuple[int, int]] = []
    record = ours._record

    def noting(rows: int, width: int):
        recorded.append((rows, width))
        return record(rows, width)

    ours._record = noting
    for rows, count in [(3, 20), (4, 30), (1, 5), (3, 50), (4, 10)]:
        ours.generate(*prompts(rows, count, rows, "cuda"), max_new_tokens=70)
    assert recorded == [(4, 64), (4, 128), (1, 64), (1, 128)]


def test_recording_changes_nothing() -> None:
    """The step in which a graph is recorded gives the same tokens as the same step when it is there."""
    one = model("llama", device="cuda")
    ids, mask = prompts(4, 60, 1, "cuda")
    ours = generator(one)
    first, second = (ours.generate(ids, mask, max_new_tokens=20) for _ in range(2))
    assert first.tolist() == second.tolist() == generated(one, ids, mask, 20).tolist()
    assert ours.state.step.flags() == {}


def test_a_forward_that_waits_is_refused() -> None:
    """Before anything is recorded; what is there goes on working."""
    one = model("gpt2", device="cuda")
    ids, mask = prompts(2, 5, 1, "cuda")

    def waiting(**inputs):
        inputs["input_ids"].max().item()
        return one(**inputs)

    with pytest.raises(mp.CallError, match="GPT2LMHeadModel waits for the GPU inside its forward"):
        generator(one, forward=waiting).generate(ids, mask, max_new_tokens=3)
    assert torch.cuda.get_sync_debug_mode() == 0
    got = generator(one).generate(ids, mask, max_new_tokens=3)
    assert got.tolist() == generated(one, ids, mask, 3).tolist()


def test_a_compiled_forward_decodes() -> None:
    one = model("gpt2", device="cuda")
    ids, mask = prompts(4, 9, 1, "cuda")
    ours = generator(one, forward=torch.compile(one, dynamic=False))
    assert (
        ours.generate(ids, mask, max_new_tokens=20).tolist()
        == generated(one, ids, mask, 20).tolist()
    )
