"""Evidence that the comparison sees faults: each one planted in what the compiler made is caught.

A fault is a change of the generated text at one place, as a wrong rule of the compiler would write
it. Some can be harmless where they stand, as when a tail overwrites the cell: of those one is enough.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice

import numpy as np
import pytest
from differential import Compiled, compare
from schedules import CHANGES
from triton.runtime.errors import InterpreterError

from metaplan import ir
from metaplan.schedule import Schedule
from tests.samples import SAMPLES

pytestmark = pytest.mark.interp

PLACES = 2
"""How many places of a kernel each fault is planted at."""


@dataclass(frozen=True, slots=True)
class Fault:
    """``pattern`` in a kernel's text becomes ``wrong``."""

    name: str
    pattern: str
    wrong: str
    harmless: bool = False
    everywhere: bool = False

    def planted(self, source: str) -> Iterator[tuple[str, str]]:
        """The line and the whole text with the fault, one place after the other."""
        if self.everywhere and re.search(self.pattern, source):
            yield "everywhere", re.sub(self.pattern, self.wrong, source)
            return
        for found in re.finditer(self.pattern, source):
            wrong = found.expand(self.wrong)
            text = source[: found.start()] + wrong + source[found.end() :]
            line = source[source.rfind("\n", 0, found.start()) + 1 :].partition("\n")[0]
            if text != source and not line.strip().startswith("#"):
                yield line.strip(), text


FAULTS = (
    Fault("an inclusive scan", r"(tl\.cumsum\(\w+, [01]\)) - \w+", r"\1"),
    Fault("a row too many before", r"\b(every\w*) < (?!\w+_size\b)", r"\1 <= ", everywhere=True),
    Fault("a row too many", r"(_live = .*)\b(\w+) < ", r"\1\2 <= ", harmless=True),
    Fault("a quotient that truncates", r"tl\.where\(quotient \* b > a, .*\)", "quotient"),
    Fault("a remainder that truncates", r"tl\.where\(rest < 0, .*\)", "rest"),
    Fault("a remainder by another mask", r"& 3\b", "& 1"),
    Fault("a shift too far", r">> (\d)", r">> 1 >> \1"),
    Fault("sides swapped", r"tl\.where\(([^,()]+), (\w+), (-?\w+)\)", r"tl.where(\1, \3, \2)"),
    Fault("a guard dropped", r"mask=\w+ & \w+, other", "mask=True, other", harmless=True),
    Fault(
        "a store without its mask",
        r"(tl\.store\(\w+ \+ \w+, \w+), mask=[^\n]*\)",
        r"\1)",
        harmless=True,
    ),
    Fault("another cell", r"(tl\.store\(\w+_ptr \+ )", r"\g<1>1 + "),
    Fault("sum for max", r"tl\.max\(", "tl.sum("),
    Fault("max for sum", r"= tl\.sum\(", "= tl.max("),
    Fault("less for less or equal", r" <= ", " < ", harmless=True),
    Fault("a region too short", r"if program < 1:", "if program < 0:"),
)


@dataclass(frozen=True, slots=True)
class Subject:
    """A plan and the batches that it is compared on."""

    name: str
    plan: ir.Plan
    sizes: dict[str, int]
    batches: tuple[dict, ...]


@cache
def subjects() -> dict[str, Subject]:
    chosen = ("sums", "arithmetic", "gathers", "reductions")
    made: dict[str, Subject] = {}
    for s in SAMPLES:
        if s.name in chosen:
            req = s.sizes["req"]
            rngs = [(np.random.default_rng([i, n]), n) for i, n in enumerate((req, req - 2, req))]
            batches = tuple(s.batch(rng, n) for rng, n in rngs)
            made[s.name] = Subject(s.name, s.plan.ir, dict(s.sizes), batches)
    return made


@cache
def sound(name: str) -> Compiled:
    """Compiled with two rows a program, so that rows before them are summed too."""
    return Compiled(subjects()[name].plan, subjects()[name].sizes, CHANGES["two-rows"])


def caught(subject: Subject, compiled: Compiled) -> bool:
    for seed, batch in enumerate(subject.batches):
        try:
            compare(compiled, batch, seed)
        except (AssertionError, InterpreterError, IndexError, RuntimeError):
            return True
    return False


def planted(subject: Subject, text: str) -> Compiled:
    return Compiled.of(sound(subject.name).built, text)


@pytest.mark.parametrize("name", [*subjects()])
def test_sound_kernels_are_not_blamed(name: str) -> None:
    assert not caught(subjects()[name], sound(name))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.name)
def test_a_planted_fault_is_caught(fault: Fault) -> None:
    seen, unseen = 0, []
    for subject in subjects().values():
        for line, text in islice(fault.planted(sound(subject.name).built.source), PLACES):
            if caught(subject, planted(subject, text)):
                seen += 1
            else:
                unseen.append(f"{subject.name}: {line}")
    assert seen, unseen or "this fault could be planted nowhere"
    assert fault.harmless or not unseen, unseen


def wrong_tails(schedule: Schedule) -> Schedule:
    """Every tail that is a number is one more than the plan says."""

    def wrong(o: ir.Output) -> ir.Output:
        if not isinstance(o.tail, ir.Fill) or not isinstance(o.tail.value, ir.Const):
            return o
        fill = ir.Const(o.tail.value.value ^ 1, o.tail.value.dtype)
        return replace(o, tail=replace(o.tail, value=fill))

    tails = tuple(replace(t, outputs=tuple(map(wrong, t.outputs))) for t in schedule.tails)
    return replace(schedule, tails=tails)


def test_a_wrong_tail_is_caught() -> None:
    sample = next(s for s in SAMPLES if s.name == "tails")
    compiled = Compiled(sample.plan.ir, sample.sizes, wrong_tails)
    with pytest.raises(AssertionError, match=r"constant.*wide.*until.*marks.*pairs"):
        compare(compiled, sample.batch(np.random.default_rng(1), 3))
