"""Names in a kernel: the user's where the user gave one, and each only once in a region."""

from __future__ import annotations

from dataclasses import dataclass, field

from metaplan import ir
from metaplan.naming import assigned_name
from metaplan.passes.place import index

_TAKEN = frozenset(
    {"tl", "triton", "program", "block", "split", "first", "cell", "range"}
    | {"count", "count_all", "floor_div", "floor_mod"}
)


@dataclass(slots=True)
class Names:
    """Hands out names of one region."""

    hints: dict[ir.Expr, str]
    axes: frozenset[str] = frozenset()
    _used: dict[str, int] = field(default_factory=dict[str, int])
    _noted: set[str] = field(default_factory=set[str])

    def fresh(self, wish: str, where: str = "") -> str:
        """``wish``, behind it ``where``; or the first of ``wish_2``, ``wish_3``... that is free."""
        wish = f"{wish}_{where}" if where else wish
        count = self._used.get(wish, 1 if wish in _TAKEN else 0) + 1
        self._used[wish] = count
        return wish if count == 1 else self.fresh(f"{wish}_{count}")

    def wish(self, e: ir.Expr) -> str | None:
        """What the plan's structure, or the user, calls ``e``."""
        hint = self.hints.get(e)
        given = self._given(e)
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
        if isinstance(e, ir.Size) or self._given(e) is None or line in self._noted:
            return ""
        if line.count("(") != line.count(")"):
            return ""
        self._noted.add(line)
        return line

    def _given(self, e: ir.Expr) -> str | None:
        """The variable that ``e`` is assigned to; an axis lends its name to no value."""
        name = assigned_name(e.loc)
        if name in self.axes or isinstance(e, ir.Size):
            return None
        if isinstance(e, ir.Load) and f"= {e.source.name}[" not in e.loc.text():
            return None
        return name


def names(plan: ir.Plan) -> Names:
    """The names of one region of ``plan``."""
    taken = {a.name for a in plan.axes} | {str(assigned_name(a.loc)) for a in plan.axes}
    return Names(_hints(plan), frozenset(taken))


def _hints(plan: ir.Plan) -> dict[ir.Expr, str]:
    """Names for what the structure of a plan implies: where a row starts, how long it is."""
    out: dict[ir.Expr, str] = {}
    for axis in plan.axes:
        if isinstance(axis, ir.Ragged):
            out.setdefault(ir.Scan(axis.length, axis.parent), f"{axis.name}_start")
        if isinstance(axis, ir.Ragged | ir.Part) and _anonymous(axis.length):
            out.setdefault(axis.length, f"{axis.name}_length")
        if not ir.top(axis):
            out.setdefault(index(axis), f"{axis.name}_index")
    return out


def _anonymous(e: ir.Expr) -> bool:
    return not isinstance(e, ir.Load) and assigned_name(e.loc) is None


def stride_name(source: ir.Input, at: int) -> str:
    return f"{source.name}_stride" if len(source.dims) == 2 else f"{source.name}_stride_{at}"
