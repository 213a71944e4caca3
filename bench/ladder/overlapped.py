# pyright: basic
"""The rungs in which the host asks one step late whether all rows have ended."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from transformers import StaticCache

from bench.ladder.plain import compile_step
from bench.ladder.shape import Generate, Sampler, Shape


def two_streams(model: Any, shape: Shape) -> Generate:
    """Steps alternate between two streams: the host waits for one while the other has work."""
    forward = compile_step(model)
    cache = StaticCache(config=model.config, max_cache_len=shape.longest)
    on_gpu = model.device.type == "cuda"
    streams = [torch.cuda.Stream() for _ in range(2)] if on_gpu else []
    flags = pinned(on_gpu)

    def generate(ids: torch.Tensor) -> torch.Tensor:
        cache.reset()
        sampler = Sampler(len(ids), shape.eos, ids.device)
        made, beyond = [ids], 0
        for step in range(shape.new):
            now, before = step % 2, (step - 1) % 2
            if streams:
                streams[now].wait_stream(streams[before] if step else torch.cuda.current_stream())
            with torch.cuda.stream(streams[now]) if streams else nullcontext():
                run = forward if step else model
                out = run(input_ids=made[-1], past_key_values=cache, use_cache=True)
                made.append(sampler.next(out.logits))
                flags[now].copy_(sampler.finished.all(), non_blocking=True)
            if step:
                if streams:
                    streams[before].synchronize()
                if flags[before]:
                    beyond = 1
                    break
        for stream in streams:
            torch.cuda.current_stream().wait_stream(stream)
        return torch.cat(made[: len(made) - beyond], 1)

    return generate


def deferred_flag(model: Any, shape: Shape) -> Generate:
    """One stream; the flag goes to pinned memory and is read behind the event of the step before."""
    forward = compile_step(model)
    cache = StaticCache(config=model.config, max_cache_len=shape.longest)
    on_gpu = model.device.type == "cuda"
    events = [torch.cuda.Event() for _ in range(2)] if on_gpu else []
    flags = pinned(on_gpu)

    def generate(ids: torch.Tensor) -> torch.Tensor:
        cache.reset()
        sampler = Sampler(len(ids), shape.eos, ids.device)
        made, beyond = [ids], 0
        for step in range(shape.new):
            run = forward if step else model
            out = run(input_ids=made[-1], past_key_values=cache, use_cache=True)
            made.append(sampler.next(out.logits))
            flags[step % 2].copy_(sampler.finished.all(), non_blocking=True)
            if events:
                events[step % 2].record()
            if step:
                if events:
                    events[(step - 1) % 2].synchronize()
                if flags[(step - 1) % 2]:
                    beyond = 1
                    break
        return torch.cat(made[: len(made) - beyond], 1)

    return generate


def pinned(on_gpu: bool) -> list[torch.Tensor]:
    return [torch.zeros((), dtype=torch.bool, pin_memory=on_gpu) for _ in range(2)]
