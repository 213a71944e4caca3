"""How often the data broke the promises of a plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from metaplan import copies, ir

Bad: TypeAlias = "Mapping[tuple[ir.Node, str], set[int]]"


def broken(runs: Iterable[tuple[Mapping[ir.Which, int], Bad]]) -> Counter[str]:
    """By the line that made a promise, at how many points it was broken.

    ``runs``: for each copy, which it is, and the points at which a node and its message were broken. Points
    count once for all copies that do not differ there.
    """
    found: dict[tuple[object, ...], tuple[str, set[int]]] = {}
    for copy, bad in runs:
        for (at, message), points in bad.items():
            which = tuple(sorted((w.name, n) for w, n in copy.items() if w in _depends(at)))
            line = f"{at.loc}: {message}"
            found.setdefault((at, message, which), (line, set()))[1].update(points)
    total: Counter[str] = Counter()
    for line, points in found.values():
        total[line] += len(points)
    return total


def _depends(at: ir.Node) -> frozenset[ir.Which]:
    match at:
        case ir.Output():
            return copies.of_output(at)
        case ir.Update():
            return copies.of_update(at)
        case ir.Root() | ir.Dense() | ir.Ragged() | ir.Part():
            return copies.mentioned((), (at,))
        case _:
            assert isinstance(at, ir.Expr)
            return copies.mentioned((at,))
