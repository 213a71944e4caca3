"""What looks at other points: sweeps, searches, folds, sorts, and values that are scattered."""

from __future__ import annotations

from collections.abc import Iterable

from metaplan.catalogue.words import listed
from metaplan.errors import Loc, PlanError


def given_alone(name: str, loc: Loc) -> PlanError:
    return PlanError(
        f"{name} uses mp.given(x) where nobody asks: it is the value of a point that asks another axis",
        loc=loc,
        hint="use it inside a reduction: mp.sum(key == mp.given(x), over=tok); elsewhere write x itself",
    )


def given_unproved(loc: Loc) -> PlanError:
    return PlanError(
        "this may fail for some of the points that ask, and what they ask for is no point to count it at",
        loc=loc,
        hint="clamp it: mp.minimum(mp.maximum(x, 0), n - 1), or choose: mp.where(x < n, table[...], 0)",
    )


def across_to(loc: Loc) -> PlanError:
    return PlanError(
        "a reduction with mp.given goes over all points of its axis: it has no to=",
        loc=loc,
        hint="leave to= out; the result lives where the values inside mp.given live",
    )


def no_points(word: str, loc: Loc) -> PlanError:
    return PlanError(
        f"{word} looks among the points of an axis, and this value is one for the whole batch",
        loc=loc,
        hint="give it a value that differs from point to point, such as an input with a dimension",
    )


def bad_side(got: str, loc: Loc) -> PlanError:
    return PlanError(
        f"side is {got}",
        loc=loc,
        hint='write side="right" for the points <= target, or side="left" for those <',
    )


def trial_unused(loc: Loc) -> PlanError:
    return PlanError(
        "the condition of mp.bisect does not use the number that is tried",
        loc=loc,
        hint="write it with the argument: mp.bisect(1, n, lambda x: mp.sum(mp.cdiv(pages, x), over=req) <= m)",
    )


def trial_below(axis: str, loc: Loc) -> PlanError:
    return PlanError(
        f"mp.bisect searches for each point of {axis}, and its condition reduces over an axis for each of them",
        loc=loc,
        hint="give it lo and hi that are the same for the whole batch, or a condition without reductions",
    )


def bad_choice(loc: Loc) -> PlanError:
    return PlanError(
        "mp.choose needs whole numbers to choose from, known when the plan is declared",
        loc=loc,
        hint="write them behind the index: mp.choose(group.index, 16, 64)",
    )


def choice_outside(span: str, count: int, loc: Loc) -> PlanError:
    return PlanError(
        f"the index of mp.choose is in {span}, and it has {count} values",
        loc=loc,
        hint=f"keep it in 0..{count - 1}: mp.expect(index, 0, {count - 1})",
    )


def part_sorted(name: str, loc: Loc) -> PlanError:
    return PlanError(
        f"{name} is a part of rows, and shares their storage",
        loc=loc,
        hint="use the axis of the whole rows, or declare one of its own: mp.ragged(parent, length)",
    )


def no_carries(axis: str, loc: Loc) -> PlanError:
    return PlanError(
        "mp.fold carries nothing",
        loc=loc,
        hint=f"name what it carries: mp.fold({axis}, step, used=mp.carry(0, 0, 4096))",
    )


def unknown_carry(name: str, known: Iterable[str], loc: Loc) -> PlanError:
    return PlanError(f"the fold carries no {name}", loc=loc, hint=f"it carries {listed(known)}")


def step_carries(names: Iterable[str], loc: Loc) -> PlanError:
    return PlanError(
        "the step of a fold returns a value for each carry, and for nothing else",
        loc=loc,
        hint=f"return dict({', '.join(f'{n}=...' for n in names)})",
    )


def bad_combine(got: str, words: Iterable[str], loc: Loc) -> PlanError:
    return PlanError(f"combine is {got}", loc=loc, hint=f"write one of {listed(words)}")


def too_many_bits(axis: str, places: int, loc: Loc) -> PlanError:
    return PlanError(
        f"a row of {axis} has up to {places} points, and mp.bits has 63 places in a word",
        loc=loc,
        hint=f"take a word for every 32 of them: word = mp.dense(parent, {-(-places // 32)}),"
        " bit = mp.dense(word, 32), mp.bits(holds, over=bit)",
    )


def put_index(axis: str, wanted: int, got: int, loc: Loc) -> PlanError:
    write = "index" if wanted == 1 else "(row, place)"
    what = "one number" if wanted == 1 else "its row and its place there"
    return PlanError(
        f"a point of {axis} is named by {what}, and {got} {'is' if got == 1 else 'are'} given",
        loc=loc,
        hint=f"mp.put({axis}, {write}, value)",
    )


def collides(target: str, axis: str, loc: Loc) -> PlanError:
    return PlanError(
        f"two points of {axis} may write the same element of {target}, in no order",
        loc=loc,
        hint='say what becomes of it: combine="add", "max", "min", "or" or "last"; index it by an input'
        ' that is marked mp.DISTINCT; or promise that none do: combine="distinct"',
    )


def too_deep(inner: Loc, loc: Loc) -> PlanError:
    return PlanError(
        "this needs all points of an axis, and is asked for inside a search, a fold or a sweep of its own",
        loc=loc,
        hint=f"compute it outside, so that it does not use what line {inner.line} tries, carries or is given",
    )
