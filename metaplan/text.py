"""A plan as stable text: no places, no counters; what the cache hashes and ``explain`` shows."""

from __future__ import annotations

from metaplan import ir
from metaplan.ir import Op

# How tightly an operator binds, in Python and in Triton alike.
LEVEL = {
    Op.LT: 1,
    Op.LE: 1,
    Op.EQ: 1,
    Op.NE: 1,
    Op.OR: 2,
    Op.XOR: 3,
    Op.AND: 4,
    Op.SHL: 5,
    Op.SHR: 5,
    Op.ADD: 6,
    Op.SUB: 6,
    Op.MUL: 7,
    Op.DIV: 7,
    Op.MOD: 7,
}
ATOM = 9


def expr(e: ir.Expr, level: int = 0) -> str:
    """``e`` as a user would write it."""
    match e:
        case ir.Const(value, dtype):
            return str(bool(value)) if dtype is ir.DType.BOOL else str(value)
        case ir.Size(axis):
            return f"{axis.name}.size"
        case ir.Offset(axis):
            return f"{axis.name}.offset"
        case ir.Index(axis):
            return f"{axis.name}.index"
        case ir.Cell():
            return "cell"
        case ir.Load(source, index, guard, other):
            at = ", ".join(expr(i) for i in index)
            plain = f"{source.name}[{at}]" if index else source.name
            return plain if guard is None else f"where({expr(guard)}, {plain}, {other})"
        case ir.Bin(Op.MIN | Op.MAX as op, lhs, rhs):
            return f"{op.value}imum({expr(lhs)}, {expr(rhs)})"
        case ir.Bin(op, lhs, rhs):
            own = LEVEL[op]
            left = own + (op in ir.COMPARISONS)
            inner = f"{expr(lhs, left)} {op.value} {expr(rhs, own + 1)}"
            return f"({inner})" if own < level else inner
        case ir.Not(of):
            return f"~{expr(of, 9)}"
        case ir.Where(cond, then, other):
            return f"where({expr(cond)}, {expr(then)}, {expr(other)})"
        case ir.Cast(of, dtype):
            return f"{dtype.value}({expr(of)})"
        case ir.Expect(of, lo, hi):
            return f"expect({expr(of)}, {lo}, {hi})"
        case ir.Scan(of, over):
            return f"scan({expr(of)}, over={over.name})"
        case ir.Reduce(op, of, over, to):
            return f"{op.value}({expr(of)}, over={over.name}, to={to.name if to else 'batch'})"


def axis(a: ir.Axis) -> str:
    match a:
        case ir.Root(name):
            return f"axis {name}"
        case ir.Dense(name, above, width):
            return f"dense {name} under {above.name if above else 'nothing'}: {width}"
        case ir.Ragged(name, above, length, most, capacity):
            bound = "".join(
                f", {word} {n}" for word, n in (("most", most), ("capacity", capacity)) if n
            )
            return f"ragged {name} under {above.name}: {expr(length)}{bound}"
        case ir.Part(name, whole, before, length):
            return f"part {name} of {whole.name}: from {expr(before)}, {expr(length)}"


def _input(i: ir.Input) -> str:
    span = "" if i.lo is None and i.hi is None else f" in [{i.lo}, {i.hi}]"
    state = ", updated in place" if i.state else ""
    return f"input {i.name}: {i.shape} ({i.home.value}){span}{state}"


def tail(t: ir.Tail) -> str:
    match t:
        case ir.Keep():
            return "keep"
        case ir.Undefined():
            return "undefined"
        case ir.Fill(ir.Reduce(ir.Monoid.SUM, _, _, None), until):
            return "the total" + (f" until {expr(until)}" if until is not None else "")
        case ir.Fill(value, until):
            return expr(value) + (f" until {expr(until)}" if until is not None else "")


def _output(o: ir.Output) -> str:
    place = o.axis.name if o.axis is not None else "1"
    shape = f"{o.dtype.value}[{place}{' + 1' if o.fences else ''}]"
    values = [expr(c) for c in o.columns] + [f"{p.name}: {expr(v)}" for p, v in o.parts]
    guard = f"\n    where {expr(o.where)}" if o.where is not None else ""
    return (
        f"output {o.name}: {shape}\n    = "
        + "\n    , ".join(values)
        + guard
        + (f"\n    tail {tail(o.tail)}")
    )


def _update(u: ir.Update) -> str:
    guard = f"\n    where {expr(u.where)}" if u.where is not None else ""
    at = ", ".join(expr(i) for i in u.index)
    return f"update {u.name}: {u.target.name}[{at}]\n    = {expr(u.value)}{guard}"


def plan(p: ir.Plan) -> str:
    lines = [f"plan {p.name}"]
    lines += [_input(i) for i in p.inputs]
    lines += [axis(a) for a in p.axes]
    lines += [_output(o) for o in p.outputs]
    lines += [_update(u) for u in p.updates]
    lines += [
        f"check {c.axis.name if c.axis else 'batch'}: {expr(c.bad)}  # {c.message}"
        for c in p.checks
    ]
    return "\n".join(lines) + "\n"
