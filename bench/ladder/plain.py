# pyright: basic
"""The rungs that wait at every token: without a cache, and with each kind of cache."""

from __future__ import annotations

from typing import Any

import torch
from transformers import DynamicCache, StaticCache

from bench.ladder.shape import Generate, Sampler, Shape


def naive(model: Any, shape: Shape) -> Generate:
    """The whole sequence through the model for each token."""

    def generate(ids: torch.Tensor) -> torch.Tensor:
        sampler = Sampler(len(ids), shape.eos, ids.device)
        for _ in range(shape.new):
            ids = torch.cat([ids, sampler.next(model(input_ids=ids, use_cache=False).logits)], 1)
            if sampler.finished.all().item():
                break
        return ids

    return generate


def kv_cache(model: Any, shape: Shape) -> Generate:
    """One token a step; keys and values in tensors that grow by concatenation."""
    return lambda ids: cached(model, model, ids, DynamicCache(config=model.config), shape)


def static_cache(model: Any, shape: Shape) -> Generate:
    """Keys and values in tensors of one size for ever."""
    return with_static(model, model, shape)


def compiled(model: Any, shape: Shape) -> Generate:
    """The static cache and torch.compile."""
    return with_static(model, compile_step(model), shape)


def reduce_overhead(model: Any, shape: Shape) -> Generate:
    """The static cache and torch.compile with its CUDA graphs."""
    return with_static(model, compile_step(model, "reduce-overhead"), shape)


def compile_step(model: Any, mode: str | None = None) -> Any:
    """``model`` compiled for the decode step; prompts go through the model itself, as in generate."""
    torch._dynamo.reset()
    if model.device.type == "cpu":
        return torch.compile(model, backend="eager", dynamic=False)
    return torch.compile(model, mode=mode, dynamic=False)


def with_static(model: Any, forward: Any, shape: Shape) -> Generate:
    cache = StaticCache(config=model.config, max_cache_len=shape.longest)

    def generate(ids: torch.Tensor) -> torch.Tensor:
        cache.reset()
        return cached(model, forward, ids, cache, shape)

    return generate


def cached(model: Any, forward: Any, ids: torch.Tensor, cache: Any, shape: Shape) -> torch.Tensor:
    """The prompt through ``model``, each further token through ``forward``; a wait at each."""
    sampler = Sampler(len(ids), shape.eos, ids.device)
    made = [ids]
    for step in range(shape.new):
        run = forward if step else model
        out = run(input_ids=made[-1], past_key_values=cache, use_cache=True)
        made.append(sampler.next(out.logits))
        if sampler.finished.all().item():
            break
    return torch.cat(made, 1)
