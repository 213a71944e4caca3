# pyright: basic
"""What a transformers model must be to decode with a static cache, and what its settings would add."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from metaplan import catalogue

FULL, SLIDING = "full_attention", "sliding_attention"
ATTENTION = ("sdpa", "eager")

NEUTRAL: Mapping[str, tuple[object, ...]] = {
    "num_beams": (1,),
    "num_return_sequences": (1,),
    "repetition_penalty": (1.0,),
    "encoder_repetition_penalty": (1.0,),
    "guidance_scale": (1.0,),
    "min_length": (0,),
    "min_new_tokens": (0,),
    "no_repeat_ngram_size": (0,),
    "encoder_no_repeat_ngram_size": (0,),
    "remove_invalid_values": (False,),
    "token_healing": (False,),
    "bad_words_ids": (),
    "begin_suppress_tokens": (),
    "constraints": (),
    "dola_layers": (),
    "exponential_decay_length_penalty": (),
    "force_words_ids": (),
    "forced_bos_token_id": (),
    "forced_eos_token_id": (),
    "max_time": (),
    "penalty_alpha": (),
    "prompt_lookup_num_tokens": (),
    "sequence_bias": (),
    "stop_strings": (),
    "suppress_tokens": (),
    "watermarking_config": (),
}
"""Settings that change what a greedy generate returns, each with the values, beside None, that do not."""


@dataclass(frozen=True, slots=True)
class Layers:
    """``count`` layers with a KV cache; the ``window`` of sliding ones, 0 if there are none.

    ``kinds``: what its forward wants masks of. ``keyed``: it takes them by kind, else a single one.
    """

    count: int
    window: int
    kinds: tuple[str, ...]
    keyed: bool


def require_transformers() -> None:
    """Raises CallError where transformers is missing."""
    if find_spec("transformers") is None:
        raise catalogue.missing_engine("transformers")


def check_model(model: Any) -> None:
    """Raises CallError for a model that the adapter cannot run, with what runs it instead."""
    name, keep = type(model).__name__, "model.generate decodes it, with a cache of its own"
    if not isinstance(model, import_module("transformers").GenerationMixin):
        raise catalogue.unsupported_model(
            name, "has no head that generates", "load it with AutoModelForCausalLM"
        )
    if model.config.is_encoder_decoder:
        raise catalogue.unsupported_model(name, "is an encoder-decoder", keep)
    if not getattr(model, "_can_compile_fullgraph", False):
        raise catalogue.unsupported_model(name, "does not run with a static cache", keep)
    if "position_ids" not in inspect.signature(model.forward).parameters:
        raise catalogue.unsupported_model(name, "counts positions by itself", keep)
    used = model.config.get_text_config(decoder=True)._attn_implementation
    if used not in ATTENTION:
        raise catalogue.unsupported_model(
            name,
            f"attends with {used}, which takes no mask of a static cache",
            'model.set_attn_implementation("sdpa")',
        )
    if model.training:
        raise catalogue.unsupported_model(name, "is in training mode", "model.eval()")
    if len({p.device for p in model.parameters()}) > 1:
        raise catalogue.unsupported_model(name, "is spread over devices", keep)


def layers_of(model: Any) -> Layers:
    """The layers as transformers' StaticCache and create_masks_for_generate tell them apart."""
    config = model.config.get_text_config(decoder=True)
    window: int = getattr(config, "sliding_window", None) or 0
    chunk = getattr(config, "attention_chunk_size", None)
    told = getattr(config, "layer_types", None)
    otherwise = SLIDING if window else "chunked_attention" if chunk else FULL
    kinds = sorted(set(told or [otherwise]))
    if getattr(config, "num_kv_shared_layers", None):
        kinds.append("layers that share a cache")
    other = [kind for kind in kinds if kind not in (FULL, SLIDING)]
    if other:
        raise catalogue.unsupported_model(
            type(model).__name__,
            f"has {', '.join(other)}, and the adapter full and sliding attention",
            "model.generate decodes it, with a cache of its own",
        )
    return Layers(
        count=config.num_hidden_layers,
        window=window if SLIDING in kinds else 0,
        kinds=tuple(kinds),
        keyed=hasattr(config, "layer_types"),
    )


def check_settings(settings: Any) -> None:
    """Raises CallError where a generation_config asks for more than greedy decoding."""
    active = [
        name
        for name, neutral in NEUTRAL.items()
        if (value := getattr(settings, name, None)) is not None and value not in neutral
    ]
    if active:
        raise catalogue.unsupported_settings(active)


def special_tokens(
    settings: Any, eos: int | list[int] | None, pad: int | None
) -> tuple[list[int], int | None]:
    """The ids that end a row and the one that fills it, as generate chooses them."""
    eos = settings.eos_token_id if eos is None else eos
    pad = settings.pad_token_id if pad is None else pad
    stops = [] if eos is None else [eos] if isinstance(eos, int) else list(eos)
    if pad is None and stops:
        pad = stops[0]
    return stops, pad
