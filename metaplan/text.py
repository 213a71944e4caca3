"""A plan as stable text: no places, no counters; what the cache hashes and ``explain`` shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TypeAlias

from metaplan import ir
from metaplan.ir import Op
from metaplan.naming import assigned_name

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

Names: TypeAlias = Mapping[ir.Expr, str]
_NONE: Names = {}


def expr(e: ir.Expr, level: int = 0, names: Names = _NONE) -> str:
    """``e`` as a user would write it; what ``names`` has stands as its name."""
    return names[e] if e in names else _spelled(e, level, names)


def _spelled(e: ir.Expr, level: int, names: Names) -> str:
    def inside(x: ir.Expr, binding: int = 0) -> str:
        return expr(x, binding, names)

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
            at = ", ".join(_place(i, names) for i in index)
            plain = f"{source.name}[{at}]" if index else source.name
            return plain if guard is None else f"where({inside(guard)}, {plain}, {other})"
        case ir.Bin(Op.MIN | Op.MAX as op, lhs, rhs):
            return f"{op.value}imum({inside(lhs)}, {inside(rhs)})"
        case ir.Bin(op, lhs, rhs):
            own = LEVEL[op]
            left = own + (op in ir.COMPARISONS)
            inner = f"{inside(lhs, left)} {op.value} {inside(rhs, own + 1)}"
            return f"({inner})" if own < level else inner
        case ir.Not(of):
            return f"~{inside(of, 9)}"
        case ir.Where(cond, then, other):
            return f"where({inside(cond)}, {inside(then)}, {inside(other)})"
        case ir.Cast(of, dtype, wraps):
            return f"{dtype.value}({inside(of)}{', wraps' if wraps else ''})"
        case ir.Expect(of, lo, hi):
            return f"expect({inside(of)}, {lo}, {hi})"
        case ir.Scan(of, over):
            return f"scan({inside(of)}, over={over.name})"
        case ir.Reduce(op, of, over, to):
            return f"{op.value}({inside(of)}, over={over.name}, to={to.name if to else 'batch'})"
        case ir.RowScan(of, over):
            above = ir.parent(over)
            return f"scan({inside(of)}, over={over.name}, per={above.name if above else 'batch'})"
        case ir.Across(op, of, over):
            return f"{op.value}({inside(of)}, across={over.name})"
        case ir.Given(of):
            return f"given({inside(of)})"
        case ir.Distinct(of, per):
            return f"distinct({inside(of)}{f', per={per.name}' if per is not None else ''})"
        case ir.Sort(of, over, descending):
            return f"sort({inside(of)}, over={over.name}{', descending' if descending else ''})"
        case ir.At(of, _, index, other):
            return f"at({inside(of)}, {inside(index)}, {other})"
        case ir.Choice(of, values):
            return f"choose({inside(of)}, {list(values)})"
        case ir.Which(name):
            return name
        case ir.Trial(number):
            return f"trial_{number}"
        case ir.Bisect(lo, hi, cond, trial):
            return f"bisect({inside(trial)} in {inside(lo)}..{inside(hi)}: {inside(cond)})"
        case ir.Carry(number, at):
            return f"carry_{number}_{at}"
        case ir.Fold(over, inits, steps, _, at, when):
            start, step = ", ".join(map(inside, inits)), ", ".join(map(inside, steps))
            return f"fold({over.name}: [{start}] then [{step}]).{when.value}[{at}]"


def _place(index: ir.Expr, names: Names) -> str:
    """An index into an array; an axis stands for itself."""
    return index.axis.name if isinstance(index, ir.Index) else expr(index, 0, names)


def axis(a: ir.Axis, names: Names = _NONE) -> str:
    match a:
        case ir.Root(name):
            return f"axis {name}"
        case ir.Dense(name, above, width):
            return f"dense {name} under {above.name if above else 'nothing'}: {width}"
        case ir.Ragged(name, above, length, most, capacity):
            bound = "".join(
                f", {word} {n}" for word, n in (("most", most), ("capacity", capacity)) if n
            )
            return f"ragged {name} under {above.name}: {expr(length, 0, names)}{bound}"
        case ir.Part(name, whole, before, length):
            return f"part {name} of {whole.name}: from {expr(before, 0, names)}, {expr(length, 0, names)}"


def _input(i: ir.Input) -> str:
    span = "" if i.lo is None and i.hi is None else f" in [{i.lo}, {i.hi}]"
    state = (", updated in place" if i.state else "") + (", distinct" if i.distinct else "")
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


def _output(o: ir.Output, names: Names) -> str:
    place = o.axis.name if o.axis is not None else "1"
    lead = "".join(f"{expr(number)}, " for number, _ in o.copies)
    shape = f"{o.dtype.value}[{lead}{place}{' + 1' if o.fences else ''}]"
    values = [expr(c, 0, names) for c in o.columns]
    values += [f"{p.name}: {expr(v, 0, names)}" for p, v in o.parts]
    lines = [f"output {o.name}: {shape}", "    = " + "\n    , ".join(values)]
    if o.put is not None:
        where = o.put.axis.name if o.put.axis is not None else "batch"
        at = ", ".join(_place(i, names) for i in o.put.index)
        lines.append(f"    put by {where} at {at}, {o.put.combine.value}")
    if o.where is not None:
        lines.append(f"    where {expr(o.where, 0, names)}")
    return "\n".join([*lines, f"    tail {tail(o.tail)}"])


def _update(u: ir.Update, names: Names) -> str:
    guard = f"\n    where {expr(u.where, 0, names)}" if u.where is not None else ""
    at = ", ".join(_place(i, names) for i in u.index)
    how = "" if u.combine is ir.Combine.ONLY else f" {u.combine.value}"
    return f"update {u.name}: {u.target.name}[{at}]\n   {how} = {expr(u.value, 0, names)}{guard}"


def _check(c: ir.Check, names: Names) -> str:
    where = c.axis.name if c.axis is not None else "batch"
    return f"check {where}: {expr(c.bad, 0, names)}  # {c.message}"


def _opaque(k: ir.Opaque) -> Iterator[str]:
    reads = ", ".join(f"{r.name}.size" if r.kind is ir.Held.LIVE else r.name for r in k.reads)
    yield f"kernel {k.name}: {k.programs} programs"
    yield f"    reads {reads or 'nothing'}"
    yield f"    writes {', '.join(output for _, output in k.writes)}"
    for _, text in k.texts:
        yield from (f"    | {line}".rstrip() for line in text.splitlines())


def plan(p: ir.Plan) -> str:
    """The whole plan; a value that is used more than once is written down once, by its name."""
    return "\n".join(_lines(p)) + "\n"


def _lines(p: ir.Plan) -> Iterator[str]:
    uses = _uses(p)
    taken = {x.name for x in (*p.inputs, *p.axes, *p.outputs)}
    names: dict[ir.Expr, str] = {}
    lengths = {a.length: f"{a.name}_length" for a in p.axes if isinstance(a, ir.Ragged | ir.Part)}

    def new(*roots: ir.Expr | None) -> Iterator[str]:
        for e in ir.walk(*(r for r in roots if r is not None)):
            if e not in names and uses[e] > 1 and not _short(e):
                names_before = dict(names)
                names[e] = _fresh(_wish(e, lengths), taken)
                yield f"{names[e]} = {expr(e, 0, names_before)}"

    yield f"plan {p.name}"
    yield from (_input(i) for i in p.inputs)
    yield from (f"copies {w.name}: {w.count}" for w in p.copies)
    for a in p.axes:
        if isinstance(a, ir.Ragged | ir.Part):
            yield from new(a.length, a.before if isinstance(a, ir.Part) else None)
        yield axis(a, names)
    for o in p.outputs:
        place = o.put.index if o.put is not None else ()
        yield from new(*o.columns, *(v for _, v in o.parts), o.where, *place)
        yield _output(o, names)
    for u in p.updates:
        yield from new(*u.index, u.value, u.where)
        yield _update(u, names)
    for c in p.checks:
        yield from new(c.bad)
        yield _check(c, names)
    for k in p.opaques:
        yield from _opaque(k)


def _uses(p: ir.Plan) -> Counter[ir.Expr]:
    roots = list(ir.exprs(p))
    uses: Counter[ir.Expr] = Counter(roots)
    for e in ir.walk(*roots):
        uses.update(ir.children(e))
    return uses


def _wish(e: ir.Expr, lengths: Names) -> str:
    """What the user calls ``e``, or what it is to an axis."""
    return assigned_name(e.loc) or lengths.get(e, "value")


def _short(e: ir.Expr) -> bool:
    """What is as short as a name would be."""
    short = ir.Const | ir.Size | ir.Offset | ir.Index | ir.Cell | ir.Load
    return isinstance(e, short | ir.Which | ir.Trial | ir.Carry | ir.Given)


def _fresh(wish: str, taken: set[str]) -> str:
    name, count = wish, 1
    while name in taken:
        count += 1
        name = f"{wish}_{count}"
    taken.add(name)
    return name
