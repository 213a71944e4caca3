"""Expressions of one point: operators, conversions, choices."""

from __future__ import annotations

from tests.fuzz.grammar import Grammar, joined, rule
from tests.fuzz.leaves import ALL, NUMBERS
from tests.fuzz.terms import SPANS, WORDS, Place, Term

WIDE = 1 << 62


def fits(dtype: str, lo: int, hi: int) -> bool:
    """Whether numbers from ``lo`` to ``hi`` fit; int64 may wrap, but then nothing is known of it."""
    return SPANS[dtype][0] <= lo and hi <= SPANS[dtype][1]


def spanned(text: str, dtype: str, lo: int, hi: int, *of: Term) -> Term:
    """An expression whose range is known unless it wraps."""
    if dtype == "i64" and not fits(dtype, lo, hi):
        lo, hi = SPANS[dtype]
    return joined(text, dtype, lo, hi, *of)


def pair(g: Grammar, at: Place, depth: int, dtype: str) -> tuple[Term, Term]:
    return g.number(at, depth - 1, dtype), g.number(at, depth - 1 - g.whole(0, 1), dtype)


@rule(6, *NUMBERS)
def sums(g: Grammar, at: Place, depth: int, dtype: str) -> Term:
    a, b = pair(g, at, depth, dtype)
    if g.chance(0.5):
        return spanned(f"({a.text} + {b.text})", dtype, a.lo + b.lo, a.hi + b.hi, a, b)
    return spanned(f"({a.text} - {b.text})", dtype, a.lo - b.hi, a.hi - b.lo, a, b)


@rule(2, *NUMBERS)
def times(g: Grammar, at: Place, depth: int, dtype: str) -> Term | None:
    a, by = g.number(at, depth - 1, dtype), g.small()
    if g.chance(0.3):
        b = g.number(at, depth - 1, dtype)
        ends = [x * y for x in (a.lo, a.hi) for y in (b.lo, b.hi)]
        if dtype == "i32" and not fits(dtype, min(ends), max(ends)):
            a, b = g.clamped(a, -100, 100), g.clamped(b, -100, 100)
            ends = [x * y for x in (a.lo, a.hi) for y in (b.lo, b.hi)]
        return spanned(f"({a.text} * {b.text})", dtype, min(ends), max(ends), a, b)
    ends = [a.lo * by, a.hi * by]
    if dtype == "i32" and not fits(dtype, min(ends), max(ends)):
        return None
    return spanned(f"({a.text} * ({by}))", dtype, min(ends), max(ends), a)


@rule(3, *NUMBERS)
def divided(g: Grammar, at: Place, depth: int, dtype: str) -> Term:
    a = g.number(at, depth - 1, dtype)
    if g.chance(0.3):
        b = g.number(at, depth - 1, dtype)
        b = Term(f"mp.maximum({b.text}, 1)", dtype, b.axis, max(b.lo, 1), max(b.hi, 1))
    else:
        value = g.pick([1, 2, 3, 4, 7, 9, 16])
        b = Term(str(value), dtype, None, value, value)
    if g.chance(0.5):
        return joined(f"({a.text} % {b.text})", dtype, 0, b.hi - 1, a, b)
    lo, hi = min(a.lo // b.lo, a.lo // b.hi), max(a.hi // b.lo, a.hi // b.hi)
    if g.chance(0.3) and fits(dtype, a.lo, a.hi + b.hi):
        return joined(f"mp.cdiv({a.text}, {b.text})", dtype, lo, hi + 1, a, b)
    return joined(f"({a.text} // {b.text})", dtype, lo, hi, a, b)


@rule(3, "i32", "i64", "u8", "u16")
def ends(g: Grammar, at: Place, depth: int, dtype: str) -> Term:
    a, b = pair(g, at, depth, dtype)
    if g.chance(0.5):
        text = f"mp.minimum({a.text}, {b.text})"
        return joined(text, dtype, min(a.lo, b.lo), min(a.hi, b.hi), a, b)
    return joined(f"mp.maximum({a.text}, {b.text})", dtype, max(a.lo, b.lo), max(a.hi, b.hi), a, b)


@rule(4, *ALL)
def where(g: Grammar, at: Place, depth: int, dtype: str) -> Term:
    cond, (a, b) = g.truth(at, depth - 1), pair(g, at, depth, dtype)
    text = f"mp.where({cond.text}, {a.text}, {b.text})"
    return joined(text, dtype, min(a.lo, b.lo), max(a.hi, b.hi), cond, a, b)


@rule(2, "i32", "i64", "u8", "u16")
def bitwise(g: Grammar, at: Place, depth: int, dtype: str) -> Term:
    a = g.number(at, depth - 1, dtype)
    match g.whole(0, 4):
        case 0:
            mask = g.pick([1, 3, 15, 127])
            return joined(f"({a.text} & {mask})", dtype, 0, mask, a)
        case 1 | 2:
            b = g.number(at, depth - 1, dtype)
            reach = 1 << max(abs(x).bit_length() for x in (a.lo, a.hi, b.lo, b.hi))
            lo = -reach if min(a.lo, b.lo) < 0 else 0
            return joined(f"({a.text} {g.pick('&|^')} {b.text})", dtype, lo, reach - 1, a, b)
        case 3 if dtype in NUMBERS:
            return joined(f"(~{a.text})", dtype, ~a.hi, ~a.lo, a)
        case _:
            return joined(f"(~{a.text})", dtype, SPANS[dtype][0], SPANS[dtype][1], a)


@rule(2, *NUMBERS)
def shifted(g: Grammar, at: Place, depth: int, dtype: str) -> Term:
    a = g.number(at, depth - 1, dtype)
    if g.chance(0.5):
        by = g.small(0, 4)
        return joined(f"({a.text} >> {by})", dtype, a.lo >> by, a.hi >> by, a)
    b = g.number(at, 0)
    shift = f"({b.text} & 3)" if dtype == "i32" else f"i64({b.text} & 7)"
    return joined(f"(({a.text} & 7) << {shift})", dtype, 0, 7 << 7, a, b)


@rule(2, *NUMBERS)
def expected(g: Grammar, at: Place, depth: int, dtype: str) -> Term | None:
    a = g.number(at, depth - 1, dtype)
    lo, hi = g.small(-20, 0), g.small(0, 20)
    if g.chance(0.6):
        lo, hi = min(lo, a.lo), max(hi, a.hi)
    text = f"mp.expect({a.text}, {lo}, {hi})"
    return joined(text, dtype, max(min(a.lo, hi), lo), min(max(a.hi, lo), hi), a)


@rule(3, "i32", "i64", "u8", "u16")
def converted(g: Grammar, at: Place, depth: int, dtype: str) -> Term:
    """A number of another dtype; one that may not fit is cut first."""
    source = g.pick([d for d in ALL if d != dtype])
    a = g.number(at, depth - 1, source)
    lo, hi = SPANS[dtype]
    if dtype == "u8" and g.chance(0.5):
        return joined(f"u8({a.text})", dtype, 0, 255, a)
    if not fits(dtype, a.lo, a.hi):
        if dtype == "i32" and g.chance(0.3):
            return joined(f"mp.wrapped({a.text})", dtype, lo, hi, a)
        a = g.clamped(a, max(lo, -WIDE), min(hi, WIDE))
    return joined(f"{WORDS[dtype]}({a.text})", dtype, a.lo, a.hi, a)


@rule(8, "bool")
def compared(g: Grammar, at: Place, depth: int, dtype: str) -> Term:
    kind = g.pick(["i32", "i32", "i32", "i64", "u8", "u16"])
    a, b = pair(g, at, depth, kind)
    sign = g.pick(["<", "<=", "==", "!=", ">=", ">"])
    return joined(f"({a.text} {sign} {b.text})", "bool", 0, 1, a, b)


@rule(3, "bool")
def combined(g: Grammar, at: Place, depth: int, dtype: str) -> Term:
    a = g.truth(at, depth - 1)
    if g.chance(0.3):
        return joined(f"(~{a.text})", "bool", 0, 1, a)
    b = g.truth(at, depth - 1)
    return joined(f"({a.text} {g.pick(['&', '|', '^', '==', '!='])} {b.text})", "bool", 0, 1, a, b)


@rule(0.5, "bool")
def as_truth(g: Grammar, at: Place, depth: int, dtype: str) -> Term:
    a = g.number(at, depth - 1, g.pick(["i32", "i64", "u8"]))
    return joined(f"boolean({a.text})", "bool", 0, 1, a)


@rule(1, "i32")
def chosen(g: Grammar, at: Place, depth: int, dtype: str) -> Term:
    """A constant by its number: what differs between copies, or any index that is in bounds."""
    if g.copies and not at.cell and g.chance(0.6):
        name, count = g.pick(g.copies)
        index = Term(f"{name}.index", "i32", None, 0, count - 1)
    else:
        count = g.whole(1, 5)
        a = g.number(at, depth - 1)
        index = joined(f"({a.text} % {count})", "i32", 0, count - 1, a)
    values = [g.small() for _ in range(count)]
    text = f"mp.choose({index.text}, {', '.join(map(str, values))})"
    return joined(text, "i32", min(values), max(values), index)


@rule(0.7, "i32")
def packed(g: Grammar, at: Place, depth: int, dtype: str) -> Term:
    a, b = (g.number(at, depth - 1, g.pick(["i32", "u16", "u8", "bool"])) for _ in range(2))
    if not g.chance(0.1):
        a, b = (x if x.lo >= 0 else joined(f"({x.text} & 15)", "i32", 0, 15, x) for x in (a, b))
    return joined(f"mp.pack({a.text}, {b.text})", "i32", *SPANS["i32"], a, b)
