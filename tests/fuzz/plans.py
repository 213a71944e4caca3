"""A plan from a seed: Python text that can be pasted anywhere, and the sizes that it is compiled for."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from tests.fuzz import (  # the rules of expressions
    gathers,
    kernels,
    leaves,
    looking,
    pointwise,
    sweeps,
)
from tests.fuzz.grammar import Grammar
from tests.fuzz.results import outputs
from tests.fuzz.trees import axes

HEAD = """\
from typing import Annotated

"""
WORDS = """\
import metaplan as mp
from metaplan import boolean, i32, i64, u8, u16

"""
PLAN = """
@mp.plan
def plan(
"""
RULES = (gathers, leaves, looking, pointwise, sweeps)


@dataclass(frozen=True, slots=True)
class Case:
    """A drawn plan."""

    seed: int
    source: str
    sizes: dict[str, int]


def case(seed: int) -> Case:
    """The plan of ``seed``: the same text for ever, as long as the grammar is the same."""
    g = Grammar(random.Random(seed))
    axes(g)
    outputs(g)
    tidy(g)
    return Case(seed, source(g), dict(g.sizes))


def tidy(g: Grammar) -> None:
    """Drops the lines and the inputs that nothing mentions: a plan must use all that it declares."""
    while True:
        texts = [*(t for _, t in g.lines), *(i.text for i in g.inputs), *(t for _, t in g.outputs)]
        used = set(re.findall(r"\w+", " ".join(texts)))
        lines = [(name, text) for name, text in g.lines if name in used]
        inputs = [i for i in g.inputs if i.name in used]
        if (len(lines), len(inputs)) == (len(g.lines), len(g.inputs)):
            break
        g.lines, g.inputs = lines, inputs
    dims = {str(d) for i in g.inputs for d in i.dims} | {name for name, _ in g.lines}
    dims |= {word for _, text in g.lines for word in re.findall(r'"(\w+)"', text)}
    g.sizes = {n: size for n, size in g.sizes.items() if n in dims}


def source(g: Grammar) -> str:
    """The file of the plan that ``g`` has drawn."""
    lines = [f"    {i.name}: {i.text},\n" for i in g.inputs]
    lines += [") -> mp.Outputs:\n"]
    lines += [f"    {name} = {text}\n" for name, text in g.lines]
    lines += ["    return dict(\n", *(f"        {n}={text},\n" for n, text in g.outputs), "    )\n"]
    called = " ".join(text for _, text in g.lines)
    texts = [text for name, text in g.kernels.items() if name in re.findall(r"\w+", called)]
    above = f"{kernels.HEAD}\n" if texts else ""
    return HEAD + above + WORDS + "".join(texts) + PLAN + "".join(lines)
