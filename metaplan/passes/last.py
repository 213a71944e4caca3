"""``combine="last"``: the point with the largest index wins an element, and it alone stores."""

from __future__ import annotations

from dataclasses import replace

from metaplan import ir
from metaplan.ir import Combine, Op
from metaplan.passes.place import index


def last_wins(plan: ir.Plan) -> tuple[ir.Plan, tuple[ir.Input, ...]]:
    """``plan`` with a buffer of winners for each such output or change, and those as they are read."""
    made = _Winners(plan)
    outputs = tuple(made.output(o) for o in plan.outputs)
    updates = tuple(made.update(u) for u in plan.updates)
    done = replace(
        plan,
        axes=tuple(dict.fromkeys((*plan.axes, *made.axes))),
        outputs=(*outputs, *made.outputs),
        updates=updates,
        sizes=tuple(sorted((*plan.sizes, *made.sizes))),
    )
    return done, tuple(made.winners)


class _Winners:
    def __init__(self, plan: ir.Plan) -> None:
        self.plan = plan
        self.axes: list[ir.Axis] = []
        self.outputs: list[ir.Output] = []
        self.winners: list[ir.Input] = []
        self.sizes: list[tuple[str, int]] = []

    def output(self, o: ir.Output) -> ir.Output:
        if o.put is None or o.put.combine is not Combine.LAST:
            return o
        place = _flat(o.put.index, ir.put_extents(self.plan, o), o.loc)
        copy = "".join(f"_{n.value}" for n, _ in o.copies if isinstance(n, ir.Const))
        alone = self._alone(f"{o.name}{copy}", o.put.axis, place, o.axis, o.where, o.loc)
        return replace(o, where=alone, put=replace(o.put, combine=Combine.DISTINCT))

    def update(self, u: ir.Update) -> ir.Update:
        if u.combine is not Combine.LAST:
            return u
        extents, cells = self.plan.extents(u.target), 1
        for extent in extents:
            cells *= extent
        name = f"{u.target.name}_cells"
        shape = ir.Dense(name, None, cells, loc=u.loc)
        self.axes.append(shape)
        self.sizes.append((name, cells))
        place = _flat(u.index, extents, u.loc)
        alone = self._alone(u.target.name, u.axis, place, shape, u.where, u.loc)
        return replace(u, where=alone, combine=Combine.DISTINCT)

    def _alone(
        self,
        target: str,
        source: ir.Axis | None,
        place: ir.Expr,
        shape: ir.Axis | None,
        where: ir.Expr | None,
        loc: ir.Loc,
    ) -> ir.Expr:
        """Whether a point is the last one that names its element."""
        assert shape is not None
        quiet = loc.unnamed()
        own = index(source) if source is not None else ir.Const(0, loc=quiet)
        name = f"{target}_last"
        self.outputs.append(
            ir.Output(
                name,
                ir.DType.I32,
                shape,
                (own,),
                ir.Fill(ir.Const(-1, loc=quiet), loc=quiet),
                where=where,
                put=ir.Put(source, (place,), Combine.MAX, loc=quiet),
                loc=quiet,
            )
        )
        winners = ir.Input(name, ir.DType.I32, (shape.name,), lo=-1, loc=quiet)
        self.winners.append(winners)
        winner = ir.Load(winners, (place,), where, -1, loc=quiet)
        return ir.Bin(Op.EQ, winner, own, loc=quiet)


def _flat(at: tuple[ir.Expr, ...], extents: tuple[int, ...], loc: ir.Loc) -> ir.Expr:
    """The element as one number."""
    flat: ir.Expr = ir.Const(0, loc=loc.unnamed())
    for e, extent in zip(at, extents, strict=True):
        own = ir.Cast(e, ir.DType.I32, wraps=True, loc=loc) if ir.dtype_of(e) is ir.DType.I64 else e
        scaled = ir.Bin(Op.MUL, flat, ir.Const(extent, loc=loc.unnamed()), loc=loc.unnamed())
        flat = own if flat == ir.Const(0) else ir.Bin(Op.ADD, scaled, own, loc=loc.unnamed())
    return flat
