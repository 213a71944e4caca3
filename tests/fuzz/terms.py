"""What a drawn plan is made of: axes and expressions as text, each with its dtype, its axis and its range."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

WORDS = {"bool": "boolean", "i32": "i32", "i64": "i64", "u8": "u8", "u16": "u16"}
"""The name of each dtype in the language."""
SPANS = {
    "bool": (0, 1),
    "u8": (0, 255),
    "u16": (0, 65535),
    "i32": (-(1 << 31), (1 << 31) - 1),
    "i64": (-(1 << 63), (1 << 63) - 1),
}


@dataclass(frozen=True, slots=True)
class Ax:
    """An axis: ``text`` is what a plan calls it, ``most`` the points below one row, ``cap`` all of them."""

    text: str
    name: str
    kind: str
    above: Ax | None
    most: int
    cap: int

    def chain(self) -> tuple[Ax, ...]:
        """From the root down to this axis."""
        return (self,) if self.above is None else (*self.above.chain(), self)

    @property
    def part(self) -> bool:
        return self.kind == "part"

    @property
    def index(self) -> Term:
        return Term(f"{self.text}.index", "i32", self, 0, self.cap - 1)

    @property
    def offset(self) -> Term:
        return Term(f"{self.text}.offset", "i32", self, 0, self.most - 1)


@dataclass(frozen=True, slots=True)
class Term:
    """An expression of a plan: ``lo`` and ``hi`` bound its numbers."""

    text: str
    dtype: str
    axis: Ax | None
    lo: int
    hi: int

    def lives(self, axis: Ax | None) -> bool:
        """Whether it may be used at a point of ``axis``."""
        return self.axis is None or (axis is not None and self.axis in axis.chain())


def constant(value: int, dtype: str = "i32") -> Term:
    text = str(value)
    return Term(text if value >= 0 else f"({text})", dtype, None, value, value)


def deepest(*axes: Ax | None) -> Ax | None:
    """The lowest of ``axes``, which lie on one branch."""
    return max(axes, key=lambda a: 0 if a is None else len(a.chain()))


@dataclass(frozen=True, slots=True)
class Given:
    """An input of a plan."""

    name: str
    dtype: str
    dims: tuple[str | int, ...]
    lo: int | None = None
    hi: int | None = None
    marks: tuple[str, ...] = ()

    @property
    def span(self) -> tuple[int, int]:
        lo, hi = SPANS[self.dtype]
        return lo if self.lo is None else self.lo, hi if self.hi is None else self.hi

    @property
    def text(self) -> str:
        """Its annotation."""
        listed = [f'"{d}"' if isinstance(d, str) else str(d) for d in self.dims]
        if self.lo is not None:
            span = (
                f"mp.below({self.hi + 1})" if self.lo == 0 else f"mp.between({self.lo}, {self.hi})"
            )
            listed.append(span)
        listed += [f"mp.{mark}" for mark in self.marks]
        word = WORDS[self.dtype]
        return f"Annotated[{', '.join([word, *listed])}]" if listed else word


@dataclass(frozen=True, slots=True)
class Place:
    """Where an expression is drawn: at the points of ``axis``.

    ``bound`` are names that only this place knows (a trial, a carry, what another point is asked for); ``looks``
    is how many words that look at other points it may still nest.
    """

    axis: Ax | None
    bound: tuple[Term, ...] = ()
    looks: int = 2
    cell: bool = field(default=False)
    """In a tail: only numbers of the batch, and the cell."""

    def deeper(self, axis: Ax | None) -> Place:
        """Points of ``axis``, which know nothing of what is bound here."""
        return Place(axis, (), self.looks - 1)

    def binding(self, *terms: Term, looks: int = 0) -> Place:
        return replace(self, bound=(*self.bound, *terms), looks=looks)
