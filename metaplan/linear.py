"""Expressions as sums of atoms: what lets ``x - min(x, w)`` be seen as never negative."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from metaplan import ir
from metaplan.ir import Op
from metaplan.nodes import UNKNOWN


@dataclass(frozen=True, slots=True)
class Linear:
    """``const + sum(coefficient * atom)``; no coefficient is 0."""

    const: int
    terms: tuple[tuple[ir.Expr, int], ...] = ()

    def __add__(self, other: Linear) -> Linear:
        total = dict(self.terms)
        for atom, k in other.terms:
            total[atom] = total.get(atom, 0) + k
        kept = tuple((atom, k) for atom, k in total.items() if k)
        return Linear(self.const + other.const, kept)

    def scaled(self, by: int) -> Linear:
        if by == 0:
            return Linear(0)
        return Linear(self.const * by, tuple((atom, k * by) for atom, k in self.terms))

    def __sub__(self, other: Linear) -> Linear:
        return self + other.scaled(-1)

    def shared(self, other: Linear) -> tuple[int, ...]:
        """How many times ``other`` may be taken away so that an atom of both goes; once at least where they have one."""
        own = dict(self.terms)
        both = [(own[atom], k) for atom, k in other.terms if atom in own]
        whole = (n // k for n, k in both if n % k == 0 and n // k > 1)
        return (1, *dict.fromkeys(whole)) if both else ()

    def replaced(self, atom: ir.Expr, by: Linear) -> Linear:
        k = dict(self.terms)[atom]
        return self + Linear(0, ((atom, -k),)) + by.scaled(k)


def linear(e: ir.Expr) -> Linear:
    """``e`` as a linear form over the smallest atoms that it has."""
    known = e._form  # pyright: ignore[reportPrivateUsage]
    if known is UNKNOWN:
        known = _linear(e)
        object.__setattr__(e, "_form", known)
    return known


def _linear(e: ir.Expr) -> Linear:
    match e:
        case ir.Const(value):
            return Linear(value)
        case ir.Bin(Op.ADD, a, b):
            return linear(a) + linear(b)
        case ir.Bin(Op.SUB, a, b):
            return linear(a) - linear(b)
        case ir.Bin(Op.MUL, a, ir.Const(k)) | ir.Bin(Op.MUL, ir.Const(k), a):
            return linear(a).scaled(k)
        # widening changes no value
        case ir.Cast(of, ir.DType.I64) if ir.dtype_of(of) is not ir.DType.BOOL:
            return linear(of)
        case _:
            return Linear(0, ((e, 1),))


def conditions(cond: ir.Expr, holds: bool = True) -> Iterator[tuple[ir.Bin, bool]]:
    """The comparisons that decide ``cond``, and whether each of them holds where ``cond`` does; each once."""
    seen: set[tuple[ir.Expr, bool]] = set()
    stack = [(cond, holds)]
    while stack:
        test = stack.pop()
        if test in seen:
            continue
        seen.add(test)
        match test:
            case ir.Not(of), true:
                stack.append((of, not true))
            case ir.Bin(Op.AND, a, b), True:
                stack += [(b, True), (a, True)]
            case ir.Bin(Op.OR, a, b), False:
                stack += [(b, False), (a, False)]
            case ir.Bin(op) as e, true if op in ir.COMPARISONS:
                yield e, true
            case _:
                pass


def compared(cond: ir.Bin, holds: bool) -> tuple[Linear, ...]:
    """What a comparison says, as linear forms that are 0 or more, where neither side wraps."""
    match cond:
        case ir.Bin(Op.LT, a, b):
            forward = linear(b) - linear(a)
            return (forward + Linear(-1),) if holds else (forward.scaled(-1),)
        case ir.Bin(Op.LE, a, b):
            forward = linear(b) - linear(a)
            return (forward,) if holds else (forward.scaled(-1) + Linear(-1),)
        case ir.Bin(Op.EQ, a, b) if holds and ir.dtype_of(a) is not ir.DType.BOOL:
            forward = linear(b) - linear(a)
            return (forward, forward.scaled(-1))
        case ir.Bin(Op.NE, a, b) if not holds and ir.dtype_of(a) is not ir.DType.BOOL:
            forward = linear(b) - linear(a)
            return (forward, forward.scaled(-1))
        case _:
            return ()
