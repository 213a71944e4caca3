"""What an axis cannot be: lengths, parts, and values that do not fit on it."""

from __future__ import annotations

from collections.abc import Iterable

from metaplan.catalogue.words import listed
from metaplan.errors import Loc, PlanError


def unnamed_axis(word: str, loc: Loc) -> PlanError:
    hint = f'assign it to a variable, tok = mp.{word}(...), or pass name="tok"'
    if not loc.text():
        hint = 'pass name="tok": there is no source here to read a variable from'
    return PlanError(f"the axis that mp.{word} makes here has no name", loc=loc, hint=hint)


def not_below(axis: str, to: str, loc: Loc) -> PlanError:
    return PlanError(
        f"{axis} is not below {to}",
        loc=loc,
        hint="reduce over a child axis: mp.sum(x, over=child), result on its parent",
    )


def value_not_on(axis: str, lives: str, loc: Loc) -> PlanError:
    return PlanError(
        f"this value lives on {lives}; {axis} cannot hold it",
        loc=loc,
        hint=f"reduce it first (mp.sum(x, over={lives})), or declare the axis under {lives}",
    )


def length_dtype(name: str, dtype: str, loc: Loc) -> PlanError:
    return PlanError(
        f"the length of {name} is {dtype}; lengths are int32",
        loc=loc,
        hint="convert it: i32(x); for a condition, mp.compact keeps the points where it holds",
    )


def bad_bound(what: str, got: str, loc: Loc) -> PlanError:
    return PlanError(
        f"{what} is {got}",
        loc=loc,
        hint="give a whole number from 1, known when the plan is declared; a dimension may be a name",
    )


def no_parts(word: str, loc: Loc) -> PlanError:
    write = "row = mp.pieces(tok, head=n, window=m)"
    if word == "join":
        write = "mp.join(row, head=x, window=y)"
    return PlanError(f"mp.{word} is given no part", loc=loc, hint=f"name each part: {write}")


def not_pieces(got: str, loc: Loc) -> PlanError:
    return PlanError(
        f"mp.join needs a row made of pieces, not {got}",
        loc=loc,
        hint="row = mp.pieces(tok, head=n, window=m), then mp.join(row, head=x, window=y)",
    )


def unknown_part(row: str, name: str, known: Iterable[str], loc: Loc) -> PlanError:
    return PlanError(f"{row} has no part {name}", loc=loc, hint=f"its parts: {listed(known)}")


def part_indptr(name: str, loc: Loc) -> PlanError:
    return PlanError(
        f"{name} is a part of a row and is not stored by itself, so it has no indptr",
        loc=loc,
        hint="the whole row has one, row.indptr; the part has a length and offsets",
    )


def length_on_own_axis(name: str, lives: str, parent: str, loc: Loc) -> PlanError:
    return PlanError(
        f"the length of {name} lives on {lives}, which is not {parent} or above it",
        loc=loc,
        hint=f"a row of {name} belongs to a row of {parent}: give one length for each of those",
    )
