# pyright: basic
"""The generator returns what model.generate returns, token for token, of every kind of model."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from functools import cache
from pathlib import Path

import pytest
import torch

from metaplan.adapters.transformers import Generator
from metaplan.errors import CallError
from tests.adapters.models import CONFIGS, LONGEST, VOCABULARY, model
from tests.adapters.prompts import PAD, endings, prompts

pytestmark = pytest.mark.adapters
NEVER = VOCABULARY + 1
"""No model samples it: rows run to their limit."""


@cache
def kept(name: str):
    return model(name)


def generated(one, ids, mask, most, eos=NEVER, pad=PAD, **options):
    return one.generate(
        ids, attention_mask=mask, max_new_tokens=most, do_sample=False,
        eos_token_id=eos, pad_token_id=pad, **options,
    )  # fmt: skip


def generator(one, eos=NEVER, **sizes) -> Generator:
    sizes = {"batch": 4, "longest": LONGEST} | sizes
    return Generator(one, eos_token_id=eos, pad_token_id=PAD, **sizes)


def same(got: torch.Tensor, want: torch.Tensor) -> None:
    assert got.shape == want.shape
    assert got.tolist() == want.tolist()


@pytest.mark.parametrize("name", CONFIGS)
def test_tokens_are_those_of_generate(name: str) -> None:
    """Unequal prompts, batches below the room, one generator for all calls, windows that are passed."""
    ours = generator(kept(name))
    for seed, (rows, count, most) in enumerate(
        [(1, 1, 9), (4, 14, 22), (3, 60, 12), (2, 7, 1), (2, 7, 30)]
    ):
        ids, mask = prompts(rows, count, seed)
        same(ours.generate(ids, mask, max_new_tokens=most), generated(kept(name), ids, mask, most))


@pytest.mark.parametrize("name", ["gpt2", "qwen2", "gemma2, a window on every other"])
def test_rows_end_where_generate_ends_them(name: str) -> None:
    """At differing places; and where all end, so does the result, in the same column."""
    cut = 0
    for seed in range(4):
        one = model(name, seed)
        ids, mask = prompts(4, 10, seed)
        free = generated(one, ids, mask, 30)[:, 10:]
        for eos in filter(None, endings(free)):
            want = generated(one, ids, mask, 30, eos)
            same(generator(one, eos, lag=seed).generate(ids, mask, max_new_tokens=30), want)
            cut += want.shape[1] < 40
    assert cut


def test_the_end_may_be_in_any_of_the_last_steps() -> None:
    """However late the host reads that all rows have ended, and wherever the limit lies behind it."""
    one = kept("gpt2")
    ids, mask = prompts(1, 6, 5)
    eos = int(generated(one, ids, mask, 8)[0, 6 + 7])
    end = generated(one, ids, mask, 40, eos).shape[1] - 6
    for lag in (0, 1, 2, 5):
        ours = generator(one, eos, lag=lag)
        for most in range(1, end + 8):
            want = generated(one, ids, mask, most, eos)
            same(ours.generate(ids, mask, max_new_tokens=most), want)


def test_without_a_mask_pads_are_padding() -> None:
    """Unless the pad also ends rows, as generate has it."""
    one = kept("llama")
    ids, _ = prompts(3, 9, 4)
    padded, whole = (generated(one, ids, None, 10, eos) for eos in (NEVER, PAD))
    assert padded[:, 9:].tolist() != whole[:, 9:].tolist()
    same(generator(one, NEVER).generate(ids, max_new_tokens=10), padded)
    same(generator(one, PAD).generate(ids, max_new_tokens=10), whole)


def test_holes_in_a_mask_are_kept() -> None:
    one = kept("qwen2")
    ids, mask = prompts(3, 12, 3)
    mask[0, 4:7] = 0
    mask[1, -1] = 0
    same(generator(one).generate(ids, mask, max_new_tokens=9), generated(one, ids, mask, 9))


def test_special_tokens_are_those_of_the_model() -> None:
    one = model("llama", 1)
    ids, mask = prompts(4, 8, 1)
    (eos,), _ = endings(generated(one, ids, mask, 25)[:, 8:])
    one.generation_config.eos_token_id = [eos, NEVER]
    ours = Generator(one, batch=4, longest=40)
    want = one.generate(ids, attention_mask=mask, max_new_tokens=25, do_sample=False)
    assert (want[:, -2:] == eos).all(1).any()
    same(ours.generate(ids, mask, max_new_tokens=25), want)


def test_eager_attention_too() -> None:
    one = model("qwen2")
    one.set_attn_implementation("eager")
    ids, mask = prompts(3, 9, 4)
    same(generator(one).generate(ids, mask, max_new_tokens=12), generated(one, ids, mask, 12))


def test_another_forward_decodes() -> None:
    """The steps go through it, four rows for three prompts; the prompts do not."""
    one, seen = kept("gpt2"), []

    def forward(**inputs):
        seen.append(tuple(inputs["input_ids"].shape))
        return one(**inputs)

    ids, mask = prompts(3, 5, 1)
    got = generator(one, forward=forward).generate(ids, mask, max_new_tokens=4)
    same(got, generated(one, ids, mask, 4))
    assert seen == [(4, 1)] * 3


def test_a_compiled_forward_decodes() -> None:
    """torch.compile traces the cache and the grouped attention, over both widths."""
    one = model("llama")
    ids, mask = prompts(3, 60, 1)
    forward = torch.compile(one, backend="eager", dynamic=False, fullgraph=True)
    ours = generator(one, forward=forward, longest=80)
    same(ours.generate(ids, mask, max_new_tokens=9), generated(one, ids, mask, 9))


def test_the_model_is_left_as_it_was() -> None:
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    before = dict(ALL_ATTENTION_FUNCTIONS)
    ids, mask = prompts(2, 5, 1)
    generator(kept("llama")).generate(ids, mask, max_new_tokens=3)
    assert dict(ALL_ATTENTION_FUNCTIONS) == before


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"do_sample": True}, "do_sample=True: the generator is greedy"),
        ({"num_beams": 4}, "num_beams=4: the generator is greedy"),
        ({"repetition_penalty": 1.2}, "repetition_penalty=1.2: the generator is greedy"),
        ({"max_new_tokens": 0}, "max_new_tokens is 0"),
        ({"max_new_tokens": LONGEST}, f"the prompt with its new tokens is {LONGEST + 6}"),
    ],
)
def test_options_that_it_does_not_have(options, told) -> None:
    ids, mask = prompts(2, 6)
    with pytest.raises(CallError, match=told):
        generator(kept("gpt2")).generate(ids, mask, **options)


@pytest.mark.parametrize("size", [{"batch": 0}, {"longest": 1}, {"lag": -1}])
def test_sizes_that_make_no_generator(size) -> None:
    (name,) = size
    with pytest.raises(CallError, match=f"{name} is {size[name]}"):
        generator(kept("gpt2"), **size)


@pytest.mark.parametrize(
    ("ids", "mask", "told"),
    [
        (torch.ones(5, 3, dtype=torch.int64), None, "the batch is 5, and the generator has room for 4"),
        (torch.ones(3, dtype=torch.int64), None, r"input_ids is torch.int64 of shape \[3\]"),
        (torch.ones(1, 3), None, r"input_ids is torch.float32"),
        (torch.ones(0, 3, dtype=torch.int64), None, r"input_ids is torch.int64 of shape \[0, 3\]"),
        (torch.ones(1, 3, dtype=torch.int64), torch.ones(1, 4), r"attention_mask is of shape \[1, 4\]"),
    ],
)  # fmt: skip
def test_prompts_that_it_cannot_take(ids, mask, told) -> None:
    with pytest.raises(CallError, match=told):
        generator(kept("gpt2")).generate(ids, mask)


def encoder_decoder():
    from transformers import T5Config, T5ForConditionalGeneration

    return T5ForConditionalGeneration(
        T5Config(vocab_size=32, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    )


def without_static_cache():
    from transformers import MambaConfig, MambaForCausalLM

    return MambaForCausalLM(MambaConfig(vocab_size=32, hidden_size=16, num_hidden_layers=1))


def without_positions():
    from transformers import BloomConfig, BloomForCausalLM

    return BloomForCausalLM(BloomConfig(vocab_size=32, hidden_size=16, n_layer=1, n_head=2))


def without_head():
    from transformers import GPT2Model

    return GPT2Model(kept("gpt2").config)


def linear_layers():
    one = model("qwen3")
    one.config.layer_types = ["linear_attention", "full_attention", "full_attention"]
    return one


def penalised():
    one = model("gpt2")
    one.generation_config.repetition_penalty = 1.3
    return one


def another_attention():
    one = model("llama")
    one.config._attn_implementation = "flash_attention_2"
    return one


@pytest.mark.parametrize(
    ("make", "told", "instead"),
    [
        (encoder_decoder, "T5ForConditionalGeneration is an encoder-decoder", "model.generate"),
        (without_static_cache, "MambaForCausalLM does not run with a static cache", "model.generate"),
        (without_positions, "BloomForCausalLM counts positions by itself", "model.generate"),
        (without_head, "GPT2Model has no head that generates", "AutoModelForCausalLM"),
        (linear_layers, "Qwen3ForCausalLM has linear_attention", "model.generate"),
        (penalised, "generation_config sets repetition_penalty", "model.generate"),
        (another_attention, "attends with flash_attention_2", "set_attn_implementation"),
        (lambda: model("gpt2").train(), "GPT2LMHeadModel is in training mode", "model.eval"),
    ],
)  # fmt: skip
def test_models_that_it_does_not_run(make, told, instead) -> None:
    one = make()
    if "training" not in told:
        one = one.eval()
    with pytest.raises(CallError, match=told) as error:
        Generator(one)
    assert instead in error.value.hint


def test_it_runs_without_triton() -> None:
    code = """
    import sys
    sys.modules["triton"] = None
    from tests.adapters.models import model
    from tests.adapters.test_transformers import generated, generator, prompts, same
    ids, mask = prompts(3, 8, 1)
    one = model("gpt2")
    same(generator(one).generate(ids, mask, max_new_tokens=6), generated(one, ids, mask, 6))
    print("equal")
    """
    root = Path(__file__).parents[2]
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.stdout == "equal\n", ran.stderr
