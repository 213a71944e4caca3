"""What an expression cannot mean: mixed dtypes, branches that never meet, Python where a plan is asked."""

from __future__ import annotations

from collections.abc import Iterable

from metaplan.errors import Loc, PlanError


def truth_of_value(loc: Loc) -> PlanError:
    return PlanError(
        "a value of the plan has no truth while it is declared: the GPU decides it later",
        loc=loc,
        hint="choose with mp.where(condition, a, b), combine with & | ~",
    )


def no_loop(loc: Loc) -> PlanError:
    return PlanError(
        "a value of the plan cannot be looped over: how much there is, only the GPU knows",
        loc=loc,
        hint="declare an axis, tok = mp.ragged(req, count), and write one formula for all its points",
    )


def no_number(loc: Loc) -> PlanError:
    return PlanError(
        "a value of the plan is no Python number while it is declared: the GPU computes it later",
        loc=loc,
        hint="for a loop declare an axis, mp.ragged(req, count); for a size use a Python int",
    )


def no_operator(op: str, write: str, loc: Loc) -> PlanError:
    return PlanError(f"plans compute integers and have no {op}", loc=loc, hint=f"write {write}")


def not_array(loc: Loc) -> PlanError:
    return PlanError(
        "only inputs can be indexed; this is a computed value",
        loc=loc,
        hint="index the input that it is made of, or use it as it is: it lifts to the axes below",
    )


def axis_as_value(name: str, loc: Loc) -> PlanError:
    return PlanError(
        f"the axis {name} is used as a number",
        loc=loc,
        hint=f"{name}.index is a point's place, {name}.offset its place in its row,"
        f" {name}.size how many are live",
    )


def not_axis(word: str, got: str, loc: Loc) -> PlanError:
    return PlanError(
        f"{word} needs an axis here, not {got}",
        loc=loc,
        hint='pass what mp.axis, mp.dense or mp.ragged returned: req = mp.axis("req")',
    )


def not_condition(dtype: str, loc: Loc) -> PlanError:
    return PlanError(
        f"a condition must be bool; this is {dtype}",
        loc=loc,
        hint="compare: x > 0, x != 0",
    )


def constant_too_large(value: int, dtype: str, loc: Loc) -> PlanError:
    wide = "i32(x)" if dtype == "uint8" else "i64(x)"
    return PlanError(
        f"{value} does not fit {dtype}",
        loc=loc,
        hint=f"use a wider dtype: {wide} on the value that it meets",
    )


def scalar_indexed(name: str, loc: Loc) -> PlanError:
    return PlanError(
        f"{name} is a scalar and has no elements",
        loc=loc,
        hint=f"use {name} as it is, or declare its dimensions in the annotation",
    )


def sum_without_axis(loc: Loc) -> PlanError:
    return PlanError(
        "a running sum needs an axis to run along; this value is one for the whole batch",
        loc=loc,
        hint="sum a value that differs from point to point; tok.cuts counts the points of tok",
    )


def different_branches(a: str, b: str, loc: Loc) -> PlanError:
    return PlanError(
        f"values of {a} and {b} cannot meet: neither axis is above the other",
        loc=loc,
        hint=f"reduce one to an axis above both (mp.sum(x, over={b})), or read it at one point: mp.at(x, index)",
    )


def mixed_dtypes(a: str, b: str, loc: Loc) -> PlanError:
    return PlanError(
        f"{a} and {b} are mixed in one operation",
        loc=loc,
        hint="convert one side: i64(x) widens, i32(x) narrows or makes a bool a number",
    )


def not_integer(got: str, loc: Loc) -> PlanError:
    return PlanError(
        f"{got} is not an integer, a bool or a value of the plan",
        loc=loc,
        hint="plans compute with integers and bools; pass an int, or declare an input",
    )


def wrong_kind(op: str, dtype: str, loc: Loc) -> PlanError:
    hint = "convert it: i32(x)"
    if dtype == "bool":
        hint = "make it a number, i32(x), or combine bools with & | ^ ~, mp.any and mp.all"
    return PlanError(f"{op} has no meaning for {dtype}", loc=loc, hint=hint)


def index_count(name: str, shape: str, dims: Iterable[str], got: int, loc: Loc) -> PlanError:
    wanted = [d if d.isidentifier() else "ijkl"[at] for at, d in enumerate(dims)]
    return PlanError(
        f"{name} is {shape}: it takes {len(wanted)} indices, not {got}",
        loc=loc,
        hint=f"index it as {name}[{', '.join(wanted)}]",
    )


def index_kind(dtype: str, loc: Loc) -> PlanError:
    return PlanError(
        f"an index is int32 or int64; this is {dtype}",
        loc=loc,
        hint="convert it: i32(x); to select points, mp.compact(axis, where=condition)",
    )


def unlifted_input(name: str, dim: str, shape: str, loc: Loc) -> PlanError:
    hint = f"index it: {name}[...]"
    if dim.isidentifier():
        hint += f', or declare the axis first: {dim} = mp.axis("{dim}")'
    return PlanError(
        f"{name} is {shape} and has no index here; no axis of this plan goes along its {dim}",
        loc=loc,
        hint=hint,
    )


def divisor_not_positive(text: str, loc: Loc) -> PlanError:
    return PlanError(
        f"the divisor may be zero or negative: it lies in {text}",
        loc=loc,
        hint="divide by a positive constant, or by mp.maximum(x, 1)",
    )


def shift_out_of_range(text: str, loc: Loc) -> PlanError:
    return PlanError(
        f"the shift may be negative or as wide as the word: it lies in {text}",
        loc=loc,
        hint="bound it: mp.minimum(mp.maximum(x, 0), 31)",
    )


def unused_input(name: str, loc: Loc) -> PlanError:
    return PlanError(
        f"input {name} is declared and never read",
        loc=loc,
        hint="remove the parameter; an engine would pass it for nothing",
    )


def too_many_sides(most: int, loc: Loc) -> PlanError:
    return PlanError(
        f"this is needed under more than {most} different conditions, and read anew under each",
        loc=loc,
        hint="return it among the outputs too: what is computed for every point is read once, whoever needs it",
    )


def too_nested(levels: int, most: int, loc: Loc) -> PlanError:
    return PlanError(
        f"this is made of expressions inside expressions, {levels} levels of them; {most} at most",
        loc=loc,
        hint="declare an axis for what a Python loop repeats, and carry it along: mp.fold, mp.sum, mp.max",
    )
