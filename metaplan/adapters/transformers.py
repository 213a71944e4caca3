# pyright: basic
"""``generate`` of a transformers model, greedy, without a wait of the host in its loop.

The whole decode step is one CUDA graph: the model's forward of one token a row, the argmax, and the
plan ``transformers_decode``, which leaves tokens, positions, masks and the place in the static cache
for the next step. The host replays it and reads late how many rows are unfinished.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch

from metaplan import catalogue
from metaplan.adapters.lagging import Lagging
from metaplan.adapters.transformers_attention import grouped_attention
from metaplan.adapters.transformers_cache import Place, static_cache
from metaplan.adapters.transformers_model import (
    check_model,
    check_settings,
    layers_of,
    require_transformers,
    special_tokens,
)
from metaplan.adapters.transformers_step import State
from metaplan.runtime.capture import captured

ALIGNED = 64
"""The cache's columns are a multiple of it: attention kernels want rows of masks that are aligned."""

GREEDY = {"do_sample": False, "num_beams": 1, "num_return_sequences": 1, "use_cache": True}
"""What may be said of the way in which the generator decodes anyway."""


class Generator:
    """Greedy generation of a causal model of transformers: the tokens of ``model.generate``, sooner.

    Args:
        model: on its device, in eval mode, with ``sdpa`` or ``eager`` attention.
        batch: most prompts of a call.
        longest: most tokens of a row, padded prompt and new ones together. Room for the KV cache of
            batch x longest tokens is allocated once.
        eos_token_id: ends a row, one or several; by default that of model.generation_config.
        pad_token_id: fills a row behind its end; by default the config's, else the first end.
        lag: how many steps late the host reads that all rows have ended; what was computed beyond
            is cut off.
        narrowest: fewest columns of the cache that a step reads. A graph is recorded for it, for twice
            as many, and so on up to ``longest``; narrowest=longest makes one that always reads all.
        forward: called instead of the model in decode steps, such as torch.compile(model).

    Raises:
        CallError: the model is none that decodes with a static cache, or its generation_config
            asks for more than greedy decoding; a size is too small.
    """

    def __init__(
        self,
        model: Any,
        *,
        batch: int = 8,
        longest: int = 1024,
        eos_token_id: int | list[int] | None = None,
        pad_token_id: int | None = None,
        lag: int = 1,
        narrowest: int = ALIGNED,
        forward: Callable[..., Any] | None = None,
    ) -> None:
        require_transformers()
        check_model(model)
        check_settings(model.generation_config)
        for name, value, least in (("batch", batch, 1), ("longest", longest, 2), ("lag", lag, 0)):
            if value < least:
                raise catalogue.bad_prompt(name, str(value), f"a number from {least}")
        self.model, self.forward = model, model if forward is None else forward
        self.batch, self.longest = batch, longest
        self.device: torch.device = model.device
        self.stops, self.pad = special_tokens(model.generation_config, eos_token_id, pad_token_id)
        self.layers = layers_of(model)
        self.columns = -(-longest // ALIGNED) * ALIGNED
        self.narrowest = -(-narrowest // ALIGNED) * ALIGNED
        self.state = State(
            rows=batch,
            columns=self.columns,
            window=self.layers.window,
            stops=self.stops,
            pad=0 if self.pad is None else self.pad,
            device=str(self.device),
        )
        dtype: torch.dtype = model.dtype
        self.seen = torch.zeros((), dtype=dtype, device=self.device)
        self.hidden = torch.full((), torch.finfo(dtype).min, dtype=dtype, device=self.device)
        self.place = Place()
        self.cache = static_cache(
            self.layers.count, rows=batch, columns=self.columns, place=self.place
        )
        last_only = "logits_to_keep" in inspect.signature(model.forward).parameters
        self.prompt_options = {"logits_to_keep": 1} if last_only else {}
        self.unfinished = Lagging(self.state.unfinished, lag)
        self.graphs: dict[tuple[int, int], torch.cuda.CUDAGraph] = {}

    @torch.no_grad()
    def generate(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        *,
        max_new_tokens: int = 20,
        **options: Any,
    ) -> torch.Tensor:
        """What model.generate(input_ids, attention_mask=..., do_sample=False) returns.

        ``input_ids`` int64[b, n] with padding on the left, ``attention_mask`` [b, n] with 0 where it
        is. Returns int64[b, n + m]: up to the step in which the last row ended, m <= max_new_tokens.

        Raises:
            CallError: more rows or tokens than there is room for, or an option that greedy decoding
                does not have.
        """
        self._check(input_ids, attention_mask, max_new_tokens, options)
        input_ids = input_ids.to(self.device)
        rows, count = input_ids.shape
        on_gpu = self.device.type == "cuda"
        with torch.cuda.device(self.device) if on_gpu else nullcontext():
            self.start(input_ids, attention_mask)
            made = self._loop(rows, count, max_new_tokens)
            return self.state.tokens[:rows, : count + made].clone()

    def _loop(self, rows: int, count: int, most: int) -> int:
        """Steps until all rows have ended, at most ``most`` with the prompt's; how many tokens that made."""
        lag = self.unfinished.lag
        self.unfinished.push(0)
        for step in range(1, most):
            if step > lag and not self.unfinished.read(step - lag - 1):
                return step - lag
            self.advance(rows, count + step)
            self.unfinished.push(step)
        for step in range(max(most - lag - 1, 0), most):
            if not self.unfinished.read(step):
                return step + 1
        return most

    # ------------------------------------------------------- the two kinds of step

    @torch.no_grad()
    def start(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None) -> None:
        """Reads the prompts and samples their first tokens."""
        mask = self._mask(input_ids, attention_mask)
        positions = (mask.long().cumsum(-1) - 1).masked_fill(~mask, 0)
        self.state.begin(input_ids, mask, positions[:, -1])
        self.place.column = None
        out = self.model(
            input_ids=input_ids,
            attention_mask=mask.long(),
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
            return_dict=True,
            **self.prompt_options,
        )
        self.state.sample(out.logits)
        self.state.step()

    @torch.no_grad()
    def advance(self, rows: int, length: int) -> None:
        """One step of the first ``rows`` rows, which hold ``length`` tokens: waits for nothing.

        On a GPU it replays a graph; that of a new number of rows, or of columns that are read, is
        recorded first, and that waits.
        """
        key = self._bucket(rows, self.batch, 1), self._bucket(length, self.columns, self.narrowest)
        if self.device.type == "cpu":
            self._decode(*key)
            self.state.step()
            return
        if key not in self.graphs:
            self.graphs[key] = self._record(*key)
        self.graphs[key].replay()

    def _bucket(self, count: int, most: int, least: int) -> int:
        """The smallest power of two from ``least`` that holds ``count``; ``most`` where it is above."""
        size = least
        while size < count:
            size *= 2
        return min(size, most)

    def _record(self, rows: int, width: int) -> torch.cuda.CUDAGraph:
        """A step as a graph. Its dry runs write nothing but what the step itself writes again."""

        def warm() -> None:
            self._decode(rows, width)
            with self._no_waits():
                self._decode(rows, width)

        def step() -> None:
            self._decode(rows, width)
            self.state.step.emit()

        pool = next(iter(self.graphs.values())).pool() if self.graphs else None
        return captured(step, warm=warm, pool=pool)

    @contextmanager
    def _no_waits(self) -> Iterator[None]:
        """Raises CallError where the model's forward asks the GPU for a value: no graph can record that."""
        before = torch.cuda.get_sync_debug_mode()
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        except RuntimeError as error:
            if "synchronizing" not in str(error):
                raise
            raise catalogue.unsupported_model(
                type(self.model).__name__,
                "waits for the GPU inside its forward, which no graph can record",
                "the traceback above has the line; model.generate decodes it",
            ) from error
        finally:
            torch.cuda.set_sync_debug_mode(before)

    def _decode(self, rows: int, width: int) -> None:
        """The forward of one token a row over ``width`` columns of the cache, and the argmax."""
        step = self.state.step
        self.place.column, self.place.width = step.cache_position, width
        shared = self.model.config.get_text_config(decoder=True)._attn_implementation == "sdpa"
        with grouped_attention() if shared else nullcontext():
            out = self.forward(
                input_ids=step.input_ids[:rows, None],
                attention_mask=self._masks(rows, width),
                position_ids=step.position_ids[:rows, None],
                past_key_values=self.cache,
                use_cache=True,
                return_dict=True,
            )
        self.state.sample(out.logits)

    def _masks(self, rows: int, width: int) -> Any:
        """[rows, 1, 1, width] of the model's dtype for each kind of layer: 0 where it sees, else its lowest number."""
        outputs = self.state.step.outputs
        masks = {
            kind: torch.where(outputs[kind][:rows, None, None, :width], self.seen, self.hidden)
            for kind in self.layers.kinds
        }
        return masks if self.layers.keyed else masks[self.layers.kinds[0]]

    # ------------------------------------------------------- what a caller may pass

    def _mask(self, input_ids: torch.Tensor, given: torch.Tensor | None) -> torch.Tensor:
        """bool[b, n]; where none is given, generate's rule: pads are padding unless they also end rows."""
        if given is not None:
            return given.to(self.device).bool()
        if self.pad is None or self.pad in self.stops:
            return torch.ones_like(input_ids, dtype=torch.bool)
        return input_ids != self.pad

    def _check(
        self, input_ids: torch.Tensor, mask: torch.Tensor | None, most: int, options: dict[str, Any]
    ) -> None:
        for name, value in options.items():
            if value is not None and GREEDY.get(name) != value:
                raise catalogue.unsupported_option(name, value, "the generator is greedy")
        if input_ids.ndim != 2 or input_ids.dtype != torch.int64 or not input_ids.numel():
            got = f"{input_ids.dtype} of shape {list(input_ids.shape)}"
            raise catalogue.bad_prompt(
                "input_ids", got, "int64[rows, tokens], at least one of each"
            )
        if mask is not None and mask.shape != input_ids.shape:
            raise catalogue.bad_prompt(
                "attention_mask", f"of shape {list(mask.shape)}", f"{list(input_ids.shape)}"
            )
        if most < 1:
            raise catalogue.bad_prompt("max_new_tokens", str(most), "a number from 1")
        rows, count = input_ids.shape
        if rows > self.batch:
            raise catalogue.above_room("the batch", rows, self.batch, "batch")
        if count + most > self.longest:
            what = "the prompt with its new tokens"
            raise catalogue.above_room(what, count + most, self.longest, "longest")
