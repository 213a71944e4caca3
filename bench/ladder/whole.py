# pyright: basic
"""The rungs that are one call: transformers' own generate, and ours."""

from __future__ import annotations

from typing import Any

import torch

from bench.ladder.plain import compile_step
from bench.ladder.shape import PAD, Generate, Shape
from metaplan.adapters.transformers import Generator


def generate(model: Any, shape: Shape) -> Generate:
    """model.generate as it is, with its growing cache."""
    return _of_transformers(model, shape)


def generate_static(model: Any, shape: Shape) -> Generate:
    """model.generate with a static cache, which it then compiles by itself, with CUDA graphs."""
    torch._dynamo.reset()
    return _of_transformers(model, shape, cache_implementation="static")


def ours(model: Any, shape: Shape) -> Generate:
    """The whole step in one graph, the model as it is."""
    return _ours(model, shape, model)


def ours_compiled(model: Any, shape: Shape) -> Generate:
    """The whole step in one graph, its forward compiled; once, so that it always reads the whole cache."""
    return _ours(model, shape, compile_step(model), narrowest=shape.longest)


def _ours(model: Any, shape: Shape, forward: Any, **options: Any) -> Generate:
    generator = Generator(
        model, batch=shape.batch, longest=shape.longest,
        eos_token_id=shape.eos, pad_token_id=PAD, forward=forward, **options,
    )  # fmt: skip
    mask = torch.ones(shape.batch, shape.prompt, dtype=torch.int64, device=model.device)
    return lambda ids: generator.generate(ids, mask[: len(ids)], max_new_tokens=shape.new)


def _of_transformers(model: Any, shape: Shape, **options: Any) -> Generate:
    mask = torch.ones(shape.batch, shape.prompt, dtype=torch.int64, device=model.device)
    return lambda ids: model.generate(
        ids, attention_mask=mask[: len(ids)], max_new_tokens=shape.new, do_sample=False,
        eos_token_id=shape.eos, pad_token_id=PAD, **options,
    )  # fmt: skip
