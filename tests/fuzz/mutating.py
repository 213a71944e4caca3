"""Mistakes in drawn plans: a part of the text is replaced by another that may not fit there."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import replace

from tests.fuzz.plans import Case, case

NUMBERS = ("0", "-1", "1 << 40", "1 << 70", "True", "None", "2.5", "'3'")
DTYPES = ("i32", "i64", "u8", "u16", "boolean")
SWAPS = (
    (r" // ", " / "),
    (r" & ", " and "),
    (r"~", "not "),
    (r" << ", " ** "),
    (r", mp\.DISTINCT", ""),
    (r", mp\.STATE", ""),
    (r", mp\.STATE", ", mp.STATE, mp.HOST"),
    (r'combine="\w+"', 'combine="sometimes"'),
    (r'combine="\w+"', ""),
    (r"mp\.below\(", "mp.below(-"),
    (r"mp\.between\(", "mp.below("),
    (r"mp\.where\(", "mp.minimum("),
    (r"mp\.sum\(", "mp.any("),
    (r"mp\.tail\(", "mp.keep("),
    (r"mp\.on\(", "mp.join("),
    (r"mp\.given\((\w+)\)", r"\1"),
    (r"mp\.ragged\(", "mp.dense("),
    (r"mp\.dense\(", "mp.compact("),
    (r"most=\d+", "most=0"),
    (r"\.offset", ".length"),
    (r"\.index", ".indptr"),
    (r"\.size", ""),
    (r"over=\w+", "over=None"),
    (r"per=(\w+)", r"per=\1.index"),
    (r"where=", "until="),
    (r"\[(\w+), ", "["),
    (r"out_\d+=", "req="),
)
CALLED = (
    (r"programs=\w+", "programs=0"),
    (r"meaning=\w+", "meaning=3"),
    (r"reads=\(", "reads=(mp.dense, "),
    (r"reads=\((\w+),", "reads=("),
    (r"writes=dict\(out=", "writes=dict(req="),
    (r"mp\.buffer\(", "mp.sum("),
    (r"mp\.buffer\((\w+)", r"mp.buffer(\1 + 1"),
    (r"mp\.opaque\((\w+)", r"mp.opaque(\1_meaning"),
)
"""Of a call of a kernel: nothing else of such a plan is changed, for nobody proves what its kernel does then."""
Change = Callable[[random.Random, Case], "Case | None"]


def mutated(seed: int) -> Case:
    """The plan of ``seed`` with one mistake, or with what is none."""
    rng, drawn = random.Random(~seed), case(seed)
    for _ in range(20):
        made = rng.choice((_called,) if "mp.opaque" in drawn.source else CHANGES)(rng, drawn)
        if made is not None and made != drawn:
            return made
    return drawn


def _one(rng: random.Random, drawn: Case, pattern: str, by: str) -> Case | None:
    """One place of ``pattern`` in the body of the plan replaced."""
    at = drawn.source.index("def plan(")
    found = list(re.finditer(pattern, drawn.source[at:]))
    if not found:
        return None
    place = rng.choice(found)
    body = drawn.source[at:]
    text = body[: place.start()] + place.expand(by) + body[place.end() :]
    return replace(drawn, source=drawn.source[:at] + text)


def _swap(rng: random.Random, drawn: Case) -> Case | None:
    return _one(rng, drawn, *rng.choice(SWAPS))


def _called(rng: random.Random, drawn: Case) -> Case | None:
    return _one(rng, drawn, *rng.choice(CALLED))


def _number(rng: random.Random, drawn: Case) -> Case | None:
    return _one(rng, drawn, r"(?<![\w.])\d+(?![\w.])", rng.choice(NUMBERS))


def _dtype(rng: random.Random, drawn: Case) -> Case | None:
    return _one(rng, drawn, rf"\b({'|'.join(DTYPES)})\b", rng.choice(DTYPES))


def _name(rng: random.Random, drawn: Case) -> Case | None:
    names = sorted(set(re.findall(r"\b[a-z]+_\d+\b|\breq\b", drawn.source)))
    if len(names) < 2:
        return None
    old, new = rng.sample(names, 2)
    return _one(rng, drawn, rf"\b{old}\b", new)


def _size(rng: random.Random, drawn: Case) -> Case | None:
    if not drawn.sizes:
        return None
    name = rng.choice(sorted(drawn.sizes))
    others = {n: size for n, size in drawn.sizes.items() if n != name}
    return replace(drawn, sizes=rng.choice((others, {**others, name: 1}, {**others, "nobody": 3})))


CHANGES: tuple[Change, ...] = (_swap, _swap, _swap, _number, _number, _dtype, _name, _name, _size)
