"""What an adapter cannot take of an engine's model or call, and what runs it instead."""

from __future__ import annotations

from collections.abc import Iterable

from metaplan.catalogue.words import listed
from metaplan.errors import CallError


def missing_engine(name: str) -> CallError:
    return CallError(
        f"{name} is not installed", hint=f"pip install 'metaplan[{name}]', or {name} itself"
    )


def unsupported_model(name: str, why: str, instead: str) -> CallError:
    return CallError(f"{name} {why}", hint=instead)


def unsupported_option(name: str, value: object, why: str) -> CallError:
    return CallError(
        f"{name}={value!r}: {why}",
        hint=f"model.generate({name}={value!r}) has it; leave it out here for greedy decoding",
    )


def unsupported_settings(names: Iterable[str]) -> CallError:
    return CallError(
        f"the model's generation_config sets {listed(names)}, which greedy decoding alone does not apply",
        hint="set them to None in model.generation_config where they are not wanted; else model.generate applies them",
    )


def bad_prompt(name: str, got: str, want: str) -> CallError:
    return CallError(f"{name} is {got}", hint=f"pass {want}")


def above_room(what: str, got: int, room: int, argument: str) -> CallError:
    return CallError(
        f"{what} is {got}, and the generator has room for {room}",
        hint=f"Generator(model, {argument}={got}) or more; room is allocated once, there",
    )
