"""What cannot be said of the copies of a plan, and of inputs with a tensor for each."""

from __future__ import annotations

from metaplan.errors import CallError, Loc, PlanError


def unnamed_copies(word: str, loc: Loc) -> PlanError:
    name = "step" if word == "steps" else "group"
    hint = f'assign them to a variable, {name} = mp.{word}(...), or pass name="{name}"'
    if not loc.text():
        hint = f'pass name="{name}": there is no source here to read a variable from'
    return PlanError(f"the copies that mp.{word} makes here have no name", loc=loc, hint=hint)


def unused_copies(name: str, loc: Loc) -> PlanError:
    return PlanError(
        f"no output and no update depends on {name}",
        loc=loc,
        hint=f"use {name}.index: what mentions it is computed for each copy, [{name}, ...]",
    )


def copies_collide(target: str, name: str, loc: Loc) -> PlanError:
    return PlanError(
        f"every copy of {name} writes the same elements of {target}",
        loc=loc,
        hint=f"give each its own elements, mp.update({target}[{name}.index, ...], x), or combine what"
        ' they write: combine="add", "max", "min" or "or"',
    )


def choice_of_copies(name: str, count: int, given: int, loc: Loc) -> PlanError:
    return PlanError(
        f"mp.choose is given {given} constants for the {count} copies of {name}",
        loc=loc,
        hint="give one for each copy, in order",
    )


def not_copies(got: str, loc: Loc) -> PlanError:
    return PlanError(
        f"mp.each needs copies, not {got}",
        loc=loc,
        hint='group = mp.groups(n), then mp.array("tables", i32, mp.each(group), "req", "page")',
    )


def each_first(name: str, loc: Loc) -> PlanError:
    return PlanError(
        f"{name} is a list of tensors, but no dimension before those of the tensors says how many",
        loc=loc,
        hint='the list comes first: Annotated[i32, mp.EACH, "group", "req", "page"], or mp.each(group)',
    )


def each_alone(name: str, mark: str, loc: Loc) -> PlanError:
    return PlanError(
        f"{name} is declared both mp.EACH and {mark}; a list of tensors is read where they are",
        loc=loc,
        hint=f"declare one stacked tensor, its first dimension the copies, and keep {mark}",
    )


def not_listed(name: str, count: int, shape: str, got: str) -> CallError:
    return CallError(
        f"{name} is {got}, the plan needs a list of {count} tensors", hint=f"pass {shape}"
    )


def listed_in_capture(name: str) -> CallError:
    return CallError(
        f"a tensor of {name} moved while a CUDA graph is being captured",
        hint="bind the list before the capture; the graph reads its table, which later binds keep up to date",
    )
