"""What all nodes of the IR share: element types, operators, and a structure that is compared without places."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from enum import Enum
from functools import cache
from typing import Any, cast

from metaplan.errors import Loc


class DType(Enum):
    """Element types; the value is NumPy's, torch's and Triton's name."""

    BOOL = "bool"
    U8 = "uint8"
    U16 = "uint16"
    I32 = "int32"
    I64 = "int64"

    @property
    def bytes(self) -> int:
        return {"bool": 1, "uint8": 1, "uint16": 2, "int32": 4, "int64": 8}[self.value]

    @property
    def lo(self) -> int:
        return 0 if self in NARROW or self is DType.BOOL else -(1 << (8 * self.bytes - 1))

    @property
    def hi(self) -> int:
        narrow = {"bool": 1, "uint8": 255, "uint16": 65535}
        return narrow.get(self.value, (1 << (8 * self.bytes - 1)) - 1)


NARROW = frozenset({DType.U8, DType.U16})
"""Dtypes for storing and masking; to count with a value of theirs, convert it."""


class Op(Enum):
    """Integer operators, written as in Python. ``//`` and ``%`` floor."""

    ADD = "+"
    SUB = "-"
    MUL = "*"
    DIV = "//"
    MOD = "%"
    AND = "&"
    OR = "|"
    XOR = "^"
    SHL = "<<"
    SHR = ">>"
    MIN = "min"
    MAX = "max"
    LT = "<"
    LE = "<="
    EQ = "=="
    NE = "!="


COMPARISONS = frozenset({Op.LT, Op.LE, Op.EQ, Op.NE})


class Monoid(Enum):
    """How a reduction combines; the value is the word in the language."""

    SUM = "sum"
    MAX = "max"
    MIN = "min"

    def identity(self, dtype: DType) -> int:
        """What it makes of no values."""
        return {"sum": 0, "max": dtype.lo, "min": dtype.hi}[self.value]


class Home(Enum):
    """Where an input's bytes are when the step is called."""

    DEVICE = "device"
    HOST = "host"
    SCALAR = "scalar"


@cache
def _compared(kind: type) -> tuple[str, ...]:
    return tuple(f.name for f in fields(kind) if f.compare)


UNKNOWN = object()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Node:
    """Anything the user wrote: it knows its line, and its line is no part of what it means."""

    loc: Loc = field(default_factory=Loc.here, compare=False, repr=False)
    _hash: int = field(init=False, compare=False, repr=False)
    _lives: Any = field(init=False, compare=False, repr=False)
    _form: Any = field(init=False, compare=False, repr=False)
    _dtype: Any = field(init=False, compare=False, repr=False)
    _like: object = field(init=False, compare=False, repr=False)

    def __init_subclass__(cls) -> None:
        # each dataclass would write its own, and a part once for each way to it
        cls.__repr__ = Node.__repr__

    def __repr__(self) -> str:
        """As it is built; what stands in several places is written in the first, ``#1=...``, and named in the others."""
        return "".join(_written(self, dict.fromkeys(_repeated(self), 0)))

    def compared(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in _compared(type(self)))

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((type(self).__name__, *self.compared())))
        object.__setattr__(self, "_lives", UNKNOWN)
        object.__setattr__(self, "_form", UNKNOWN)
        object.__setattr__(self, "_dtype", UNKNOWN)
        object.__setattr__(self, "_like", object())

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if type(self) is not type(other) or not isinstance(other, Node):
            return False
        if self._like is other._like:
            return True
        if self._hash != other._hash or self.compared() != other.compared():
            return False
        # what has been found equal once is not compared again: values share their parts
        object.__setattr__(other, "_like", self._like)
        return True


def _nodes(value: Any) -> Iterator[Node]:
    """The nodes that a field holds."""
    if isinstance(value, Node):
        yield value
    elif isinstance(value, tuple):
        for one in cast(tuple[Any, ...], value):
            yield from _nodes(one)


def _repeated(root: Node) -> Iterator[Node]:
    """The nodes that are made of others and stand in several places below ``root``."""
    seen: set[Node] = set()
    stack = [root]
    while stack:
        node = stack.pop()
        below = [*_nodes(node.compared())]
        if node in seen and below:
            yield node
        elif node not in seen:
            stack += below
        seen.add(node)


def _written(value: Any, numbers: dict[Node, int]) -> Iterator[str]:
    """``value`` as text; ``numbers`` has the names of what was written before, 0 before it is."""
    match value:
        case Node() if numbers.get(value):
            yield f"#{numbers[value]}#"
        case Node():
            if value in numbers:
                numbers[value] = max(numbers.values()) + 1
                yield f"#{numbers[value]}="
            yield f"{type(value).__name__}("
            for at, name in enumerate(_compared(type(value))):
                yield f"{', ' if at else ''}{name}="
                yield from _written(getattr(value, name), numbers)
            yield ")"
        case tuple():
            every = cast(tuple[Any, ...], value)
            yield "("
            for at, one in enumerate(every):
                yield ", " if at else ""
                yield from _written(one, numbers)
            yield ",)" if len(every) == 1 else ")"
        case _:
            yield repr(value)
