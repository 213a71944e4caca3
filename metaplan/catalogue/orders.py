"""What goes from point to point, or from number to number: sorts, folds, searches."""

from __future__ import annotations

from metaplan.errors import Loc, PlanError


def row_too_long(axis: str, bound: int, most: int, row: bool, loc: Loc) -> PlanError:
    hint = f"bound it, mp.ragged(parent, length, most={most}), or sort the first points only"
    if not row:
        hint = f"compile it for no more, compile({axis}={most}), or sort the rows of an axis below"
    return PlanError(
        f"{'a row of ' if row else ''}{axis} has up to {bound} points, and at most {most} can be sorted",
        loc=loc,
        hint=hint,
    )


def restarts_nowhere(lives: str, per: str, loc: Loc) -> PlanError:
    return PlanError(
        f"the sum lives on {lives}, and {per} is no axis above it: it would restart at no row",
        loc=loc,
        hint="name an axis above, mp.cumsum(x, per=req) for an x on tok, or leave per= out",
    )


def argsort_wide(loc: Loc) -> PlanError:
    return PlanError(
        "mp.argsort packs a number of 32 bits and its place into a key of 64, and this one has 64 bits",
        loc=loc,
        hint="narrow it, mp.argsort(i32(x), over=tok), or sort the numbers alone: mp.sort(x, over=tok)",
    )


def carry_elsewhere(name: str, loc: Loc) -> PlanError:
    return PlanError(
        f"the step of a fold for {name} asks other points for a value of what is carried to this one",
        loc=loc,
        hint="sum, sort or look up outside of the step what does not depend on a carry, and combine it inside",
    )


def trial_elsewhere(loc: Loc) -> PlanError:
    return PlanError(
        "the condition of mp.bisect asks for this anew for each number that is tried, and it takes a launch",
        loc=loc,
        hint="write the condition with reductions: mp.sum(mp.cdiv(pages, x), over=req) <= m",
    )


def trial_unproved(loc: Loc) -> PlanError:
    return PlanError(
        "this depends on the number that mp.bisect tries, and may fail for some of them",
        loc=loc,
        hint="narrow lo and hi so that it cannot, or clamp it: mp.minimum(x, n - 1)",
    )
