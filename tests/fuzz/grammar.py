"""The state of a plan that is being drawn, and the one way to draw an expression of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from tests.fuzz.terms import WORDS, Ax, Given, Place, Term, deepest

T = TypeVar("T")


@dataclass(slots=True)
class Grammar:
    """Everything that the lines drawn so far have declared."""

    rng: random.Random
    axes: list[Ax] = field(default_factory=list)
    inputs: list[Given] = field(default_factory=list)
    lines: list[tuple[str, str]] = field(default_factory=list)
    named: list[Term] = field(default_factory=list)
    copies: list[tuple[str, int]] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    outputs: list[tuple[str, str]] = field(default_factory=list)
    kernels: dict[str, str] = field(default_factory=dict)
    """The text of each kernel of the user's own."""
    budget: int = 8
    """How many words that look at other points the plan may still have."""
    numbers: int = 0

    # ------------------------------------------------------------ chance

    def pick(self, options: Sequence[T]) -> T:
        return options[self.rng.randrange(len(options))]

    def chance(self, p: float) -> bool:
        return self.rng.random() < p

    def whole(self, lo: int, hi: int) -> int:
        return self.rng.randint(lo, hi)

    def small(self, lo: int = -9, hi: int = 9) -> int:
        return self.whole(lo, hi)

    # ------------------------------------------------------------- names

    def fresh(self, stem: str) -> str:
        self.numbers += 1
        return f"{stem}_{self.numbers}"

    def line(self, name: str, text: str) -> None:
        self.lines.append((name, text))

    def array(
        self,
        dtype: str,
        dims: tuple[str | int, ...],
        lo: int | None = None,
        hi: int | None = None,
        *marks: str,
        stem: str = "",
    ) -> Given:
        """A new input."""
        made = Given(self.fresh(stem or {"bool": "on"}.get(dtype, "x")), dtype, dims, lo, hi, marks)
        self.inputs.append(made)
        return made

    # -------------------------------------------------------- expressions

    def number(self, at: Place, depth: int, dtype: str = "i32") -> Term:
        """A number at every point of ``at``, drawn by one of the rules of its dtype."""
        rules = LEAVES if depth <= 0 else RULES
        known = [(weight, rule) for weight, kinds, rule in rules if dtype in kinds]
        weights = [weight for weight, _ in known]
        while True:
            (rule,) = self.rng.choices([rule for _, rule in known], weights)
            made = rule(self, at, depth, dtype)
            if made is not None:
                assert made.dtype == dtype, (made, dtype)
                return self._shared(self.tame(made), at)

    def truth(self, at: Place, depth: int) -> Term:
        return self.number(at, depth, "bool")

    def _shared(self, made: Term, at: Place) -> Term:
        """A large expression gets a name of its own now and then, which others use again."""
        if at.bound or at.cell or len(made.text) < 24 or not self.chance(0.3):
            return made
        name = self.fresh("v")
        self.line(name, made.text)
        named = Term(name, made.dtype, made.axis, made.lo, made.hi)
        self.named.append(named)
        return named

    def tame(self, x: Term, reach: int = 1 << 20) -> Term:
        """``x``, cut to small numbers where it could be large: nearly always for int32."""
        if x.dtype not in ("i32", "i64") or (-reach <= x.lo and x.hi <= reach):
            return x
        if self.chance(0.3 if x.dtype == "i64" else 0.005):
            return x
        return self.clamped(x, -100, 100)

    def clamped(self, x: Term, lo: int, hi: int) -> Term:
        """``x`` cut to lo..hi."""
        text = x.text
        if x.lo < lo:
            text = f"mp.maximum({text}, {lo})"
        if x.hi > hi:
            text = f"mp.minimum({text}, {hi})"
        return Term(text, x.dtype, x.axis, min(max(x.lo, lo), hi), max(min(x.hi, hi), lo))

    def exactly(self, x: Term, axis: Ax) -> Term:
        """``x`` as a value that lives on ``axis`` itself."""
        if x.axis == axis:
            return x
        if x.dtype == "bool":
            return Term(f"({x.text} | ({axis.text}.index < 0))", "bool", axis, 0, 1)
        zero = f"{WORDS[x.dtype]}(0 * {axis.text}.offset)"
        if x.dtype in ("u8", "u16"):
            return Term(f"({x.text} | {zero})", x.dtype, axis, x.lo, x.hi)
        zero = f"0 * {axis.text}.offset" if x.dtype == "i32" else zero
        return Term(f"({x.text} + {zero})", x.dtype, axis, x.lo, x.hi)

    def spend(self, at: Place, cost: int = 1) -> bool:
        """Whether one more word that looks at other points may be drawn here; takes it from the budget."""
        if at.looks <= 0 or at.cell or self.budget < cost:
            return False
        self.budget -= cost
        return True

    # --------------------------------------------------------------- axes

    def below(self, axis: Ax | None) -> list[Ax]:
        """The axes below ``axis``; every one for the batch."""
        return [a for a in self.axes if a != axis and (axis is None or axis in a.chain())]

    def whole_axes(self, cap: int = 1 << 30) -> list[Ax]:
        """Axes that are no part of a row of pieces."""
        return [a for a in self.axes if not a.part and a.cap <= cap]


Rule = Callable[[Grammar, Place, int, str], "Term | None"]
RULES: list[tuple[float, tuple[str, ...], Rule]] = []
LEAVES: list[tuple[float, tuple[str, ...], Rule]] = []


def rule(weight: float, *kinds: str) -> Callable[[Rule], Rule]:
    """Adds a way to draw an expression of one of ``kinds``."""

    def add(made: Rule) -> Rule:
        RULES.append((weight, kinds, made))
        return made

    return add


def leaf(weight: float, *kinds: str) -> Callable[[Rule], Rule]:
    """The same for an expression without any below it."""

    def add(made: Rule) -> Rule:
        LEAVES.append((weight, kinds, made))
        RULES.append((weight / 3, kinds, made))
        return made

    return add


def joined(text: str, dtype: str, lo: int, hi: int, *of: Term) -> Term:
    """An expression made of others, on the lowest of their axes."""
    return Term(text, dtype, deepest(*(x.axis for x in of)), lo, hi)
