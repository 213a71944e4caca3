"""Names in a kernel: the user's where the user gave one, and each only once in a region."""

from __future__ import annotations

from dataclasses import dataclass, field

from metaplan import ir
from metaplan.naming import assigned_name

_TAKEN = frozenset({"tl", "triton", "program", "block", "row", "split", "range", "for", "if"})


@dataclass(slots=True)
class Names:
    """Hands out names of one region."""

    hints: dict[ir.Expr, str]
    _used: dict[str, int] = field(default_factory=dict[str, int])
    _noted: set[str] = field(default_factory=set[str])

    def fresh(self, wish: str) -> str:
        """``wish``, or the first of ``wish_2``, ``wish_3``... that is free."""
        count = self._used.get(wish, 1 if wish in _TAKEN else 0) + 1
        self._used[wish] = count
        return wish if count == 1 else self.fresh(f"{wish}_{count}")

    def wish(self, e: ir.Expr) -> str | None:
        """What the user, or the plan's structure, calls ``e``."""
        given = assigned_name(e.loc)
        hint = self.hints.get(e)
        match e:
            case ir.Load(source):
                return hint or given or source.name
            case ir.Size(axis):
                return f"{axis.name}_size"
            case _:
                return hint or given

    def note(self, e: ir.Expr) -> str:
        """The user's line that names ``e``, once in a region."""
        line = e.loc.text().rstrip(",")
        if assigned_name(e.loc) is None or line in self._noted or "(" == line[-1:]:
            return ""
        self._noted.add(line)
        return line


def hints(plan: ir.Plan) -> dict[ir.Expr, str]:
    """Names for what the structure of a plan implies: where a row starts, how long it is."""
    out: dict[ir.Expr, str] = {}
    for axis in plan.axes:
        if isinstance(axis, ir.Ragged):
            out.setdefault(ir.Scan(axis.length, axis.parent), f"{axis.name}_start")
        if isinstance(axis, ir.Ragged | ir.Part) and not isinstance(axis.length, ir.Load):
            if assigned_name(axis.length.loc) is None:
                out.setdefault(axis.length, f"{axis.name}_length")
    return out
