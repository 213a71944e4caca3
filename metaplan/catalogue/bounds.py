"""What the ranges cannot prove, or disprove."""

from __future__ import annotations

from metaplan.errors import Loc, PlanError


def may_overflow(dtype: str, lo: int, hi: int, loc: Loc) -> PlanError:
    more = " promise it, mp.expect(x, lo, hi), or compute in i64(...)"
    if dtype == "uint16":
        more = " or promise it, mp.expect(x, 0, 65535)"
    return PlanError(
        f"this may not fit {dtype}: it lies in [{lo}, {hi}]",
        loc=loc,
        hint=f"declare the range of the inputs, Annotated[i32, ..., mp.below(n)],{more}",
    )


def out_of_bounds(
    name: str, dim: int, lo: int, hi: int, size: int, loc: Loc, *, stored: bool = False
) -> PlanError:
    hint = "guard it: mp.where(inside, array[index], other), or give the array more room"
    if stored:
        hint = "store it where it lies inside: where=inside; or give the buffer more room"
    return PlanError(
        f"index {dim} of {name} lies in [{lo}, {hi}], not within 0..{size - 1}", loc=loc, hint=hint
    )


def never_in_bounds(name: str, dim: int, lo: int, hi: int, size: int, loc: Loc) -> PlanError:
    return PlanError(
        f"index {dim} of {name} lies in [{lo}, {hi}], always outside 0..{size - 1}",
        loc=loc,
        hint="check the size given to compile() and the formula; -1 is not the last element here",
    )


def length_negative(axis: str, lo: int, loc: Loc) -> PlanError:
    return PlanError(
        f"a length of {axis} may be negative: as low as {lo}",
        loc=loc,
        hint="bound it: mp.maximum(length, 0), or mp.expect(length, 0, n) where the data promises it",
    )


def unbounded_row(axis: str, loc: Loc) -> PlanError:
    return PlanError(
        f"nothing bounds how long a row of {axis} can be",
        loc=loc,
        hint="declare it: mp.ragged(parent, length, most=n), or the range of what it is made of",
    )


def row_above_capacity(axis: str, most: int, capacity: int, loc: Loc) -> PlanError:
    return PlanError(
        f"a row of {axis} can have {most} points, and all rows together only {capacity}",
        loc=loc,
        hint=f"bound a row, mp.ragged(parent, length, most={capacity}), or give compile()"
        f" {axis}={most} or more",
    )


def too_many_points(axis: str, points: int, loc: Loc) -> PlanError:
    return PlanError(
        f"{axis} can have {points} points; places are int32, so at most {(1 << 31) - 1}",
        loc=loc,
        hint="bound what a row can have, most=n, or give compile() smaller capacities",
    )
