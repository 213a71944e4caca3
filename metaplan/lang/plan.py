"""``@mp.plan``: runs a declaration once and keeps what it said."""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from metaplan import catalogue, copies, ir, phases, text, verify
from metaplan.errors import Loc
from metaplan.lang import demands, places
from metaplan.lang.arrays import Array, array
from metaplan.lang.axes import Axis, Indptr
from metaplan.lang.combining import alone, read_alone
from metaplan.lang.dtypes import Typed
from metaplan.lang.opaque import Made, declared
from metaplan.lang.tracing import CURRENT, Trace
from metaplan.lang.values import Value, described, lift, name_of, one_branch
from metaplan.lang.words import Change, Out

if TYPE_CHECKING:
    import torch

    from metaplan.phases import Phase
    from metaplan.runtime.step import Step

Outputs: TypeAlias = Mapping[str, Value | Out | Change | Made]
"""What the function of a plan returns: its outputs and the changes of its states, by name."""


class Plan:
    """A declared plan: print it, compile it, run it in NumPy."""

    def __init__(self, plan: ir.Plan) -> None:
        self.ir = plan

    @property
    def name(self) -> str:
        return self.ir.name

    def text(self) -> str:
        """The plan as stable text, without places."""
        return text.plan(self.ir)

    def phases(self, *, token: Collection[str], count: Collection[str]) -> dict[str, Phase]:
        """What each output must wait for: sampled tokens, counts of those that hold, or neither.

        Args:
            token: inputs that hold sampled tokens, or what follows from them.
            count: inputs that hold how many of them hold, such as the lengths of sequences.
        """
        self._named("phases", (*token, *count), [i.name for i in self.ir.inputs], "input")
        return phases.phases(self.ir, token=token, count=count)

    def only(self, *outputs: str) -> Plan:
        """The plan of some of its outputs, with the inputs that those need; it updates nothing."""
        self._named("only", outputs, [o.name for o in self.ir.outputs], "output")
        return Plan(phases.only(self.ir, outputs))

    def _named(self, what: str, names: Collection[str], known: list[str], kind: str) -> None:
        for name in names:
            if name not in known:
                raise catalogue.unknown_name(f"{self.name}.{what}", kind, name, known)

    def compile(
        self,
        *,
        device: str = "cuda",
        target: str | None = None,
        lag: int = 1,
        dependent: bool = False,
        into: Mapping[str, torch.Tensor] | None = None,
        **sizes: int,
    ) -> Step:
        """A bound step for fixed capacities: buffers allocated once, nothing compiled afterwards.

        Args:
            device: "cuda" (NVIDIA or AMD), or "cpu": the plan itself in NumPy, same API.
            target: "cuda:90", "hip:gfx942", ...; that of the device if not given.
            lag: how many steps the host may run ahead; the staging ring has lag + 2 slots.
            dependent: recorded launches may start before the kernel in front of them is done and wait inside
                (programmatic dependent launch); without effect where the device does not have it.
            into: tensors of yours that outputs are written into, by the output's name, where others read them: on the
                device, contiguous, as large as the output or longer in its first dimension. They are zeroed now.
            **sizes: the capacity of each root axis and free dimension, by name; ``mp.exactly(n)`` for a root axis
                that has n points at every step, so that nothing needs to say how many are live.

        Raises:
            PlanError: what the bounds of the plan do not allow, with the line and what to write.
            CallError: a capacity is missing or unknown, the device is not there, or a tensor of ``into`` is not what
                its output needs; none of them was touched then.
        """
        from metaplan.runtime.step import make_step

        return make_step(
            self.ir,
            sizes,
            device=device,
            target=target,
            lag=lag,
            dependent=dependent,
            into=into or {},
        )


def plan(function: Callable[..., Outputs]) -> Plan:
    """Declares a plan: the parameters are its inputs, the returned dict its outputs by name.

    A parameter is ``Annotated[i32, "req", "page", mp.below(n)]``: a device tensor with those
    dimensions, whose values lie in that range. Without dimensions it is a scalar. ``mp.HOST`` says
    that the array comes from the host each step, ``mp.STATE`` that the plan updates it in place.
    """
    caller = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
    here = places.declaration(function)
    demands.name("plan", function.__name__, here, demands.KERNEL)
    trace = Trace()
    token = CURRENT.set(trace)
    try:
        given = _parameters(function, dict(caller.f_locals))
        outputs = function(**given)
        made = _plan(function, trace, outputs)
    finally:
        CURRENT.reset(token)
    verify.all_read(made)
    verify.verify(made)
    return Plan(made)


def _parameters(function: Callable[..., Any], around: dict[str, Any]) -> dict[str, Array]:
    closure = inspect.getclosurevars(function).nonlocals
    try:
        hints = typing.get_type_hints(function, localns={**around, **closure}, include_extras=True)
    except (NameError, TypeError, AttributeError) as wrong:
        raise catalogue.unreadable_annotations(
            function.__name__, str(wrong), places.declaration(function)
        ) from wrong
    out: dict[str, Array] = {}
    for name, given in inspect.signature(function).parameters.items():
        loc = places.parameter(function, name)
        hint = hints.get(name)
        base, marks = hint, ()
        if typing.get_origin(hint) is Annotated:
            base, *rest = typing.get_args(hint)
            marks = tuple(rest)
        plain = given.kind in (given.POSITIONAL_OR_KEYWORD, given.KEYWORD_ONLY)
        if not plain or not (isinstance(base, type) and issubclass(base, Typed)):
            raise catalogue.bad_annotation(name, loc)
        out[name] = array(name, base, *marks, loc=loc)
    return out


def _plan(function: Callable[..., Any], trace: Trace, returned: Any) -> ir.Plan:
    if not isinstance(returned, Mapping):
        raise catalogue.outputs_not_dict(described(returned), places.returned(function))
    made = typing.cast("Mapping[object, object]", returned)
    outputs: list[ir.Output] = []
    updates: list[ir.Update] = []
    for key, value in made.items():
        loc = places.output(function, key)
        name = demands.name("output", key, loc, demands.STEP)
        if isinstance(value, Change):
            updates.append(_update(name, value))
        elif isinstance(value, Made):
            outputs.append(value.output(name))
        elif isinstance(value, Value | Out):
            made_output = _output(name, value, loc)
            own = copies.dimensions(copies.of_output(made_output), trace.copies)
            outputs.append(replace(made_output, copies=own))
        else:
            raise catalogue.not_an_output(name, described(value), loc)
    if not made:
        raise catalogue.no_outputs(function.__name__, places.returned(function))
    plan = ir.Plan(
        function.__name__,
        tuple(trace.inputs),
        tuple(trace.axes),
        tuple(outputs),
        tuple(updates),
        copies=tuple(trace.copies),
        opaques=tuple(declared(kernel, function.__name__, made) for kernel in trace.kernels),
        loc=places.declaration(function),
    )
    _shallow(plan)
    _own(plan)
    read_alone(plan)
    _copied(plan)
    return plan


NESTED = 128
"""Levels of expressions inside expressions: the passes go down them by recursion."""


def _shallow(plan: ir.Plan) -> None:
    """Raises where an expression nests deeper than the passes go."""
    levels: dict[ir.Expr, int] = {}
    stack = list(ir.exprs(plan))
    while stack:
        e = stack[-1]
        missing = [c for c in ir.children(e) if c not in levels]
        if missing:
            stack += missing
            continue
        stack.pop()
        levels[e] = 1 + max((levels[c] for c in ir.children(e)), default=0)
    deepest = max(levels, key=lambda e: levels[e], default=None)
    if deepest is not None and levels[deepest] > NESTED:
        raise catalogue.too_nested(levels[deepest], NESTED, deepest.loc)


def _own(plan: ir.Plan) -> None:
    """Raises where a plan uses what another plan declared, or two things have one name."""
    taken = {f"{name}_size": f"the live number of {name}" for name in plan.root_names()}
    taken |= {name: f"the axis {name}" for name in plan.root_names()}
    for i in plan.inputs:
        if i.name in taken:
            raise catalogue.name_taken("input", i.name, taken[i.name], i.loc)
    for o in plan.outputs:
        if o.name.endswith("_size") and o.name in taken:
            raise catalogue.name_taken("output", o.name, taken[o.name], o.loc)
    for e in ir.exprs(plan):
        for asked in ir.asked(e):
            raise catalogue.given_alone(_holder(plan, e), asked.loc)
    for e in ir.walk(*ir.exprs(plan)):
        if isinstance(e, ir.Load) and e.source not in plan.inputs:
            raise catalogue.foreign("input", e.source.name, plan.name, e.loc)
        if isinstance(e, ir.Which) and e not in plan.copies:
            raise catalogue.foreign("copies", e.name, plan.name, e.loc)
        for axis in ir.axes_in(e):
            if axis not in plan.axes:
                raise catalogue.foreign("axis", axis.name, plan.name, e.loc)


def _copied(plan: ir.Plan) -> None:
    """Raises where copies write the same element, or where nothing depends on them."""
    used = {number for o in plan.outputs for number, _ in o.copies}
    for u in plan.updates:
        which = copies.of_update(u)
        used |= which
        for w in plan.copies:
            ordered = u.combine in (ir.Combine.ONLY, ir.Combine.LAST)
            if w in which and ordered and w not in u.index:
                raise catalogue.copies_collide(u.target.name, w.name, u.loc)
    for w in plan.copies:
        if w not in used:
            raise catalogue.unused_copies(w.name, w.loc)


def _holder(plan: ir.Plan, e: ir.Expr) -> str:
    """What of the plan is made of ``e``, in words."""
    for o in plan.outputs:
        if e in (*o.columns, o.where, *(v for _, v in o.parts)):
            return f"output {o.name}"
    return "an axis or a change of this plan"


def _update(name: str, change: Change) -> ir.Update:
    axis: ir.Axis | None = None
    for e in (*change.index, change.value, *([change.where] if change.where is not None else [])):
        if not one_branch(axis, ir.axis_of(e)):
            raise catalogue.different_branches(name_of(axis), name_of(ir.axis_of(e)), change.loc)
        axis = ir.deeper(axis, ir.axis_of(e))
    target = change.target.input
    alone(target.name, change.index, axis, change.where, change.combine, change.loc)
    return ir.Update(
        name,
        target,
        change.index,
        change.value,
        axis,
        change.where,
        change.combine,
        loc=change.loc,
    )


def _output(name: str, value: Value | Out, at: Loc) -> ir.Output:
    if isinstance(value, Array):
        value = Value(value.at(at))
    o = value if isinstance(value, Out) else Out((value,), loc=value.expr.loc)
    loc = o.loc or at
    first = o.columns[0] if o.columns else o.parts[0][1]
    axis = o.axis.ir if isinstance(o.axis, Axis) else first.axis
    if isinstance(axis, ir.Part) and not o.parts:
        raise catalogue.part_alone(name, axis.name, axis.whole.name, loc)
    fences = len(o.columns) == 1 and isinstance(first, Indptr) and o.axis is None
    fences = fences and o.put is None
    columns = tuple(c.expr for c in o.columns)
    parts = tuple((part.ir, v.expr) for part, v in o.parts)
    where = o.where.expr if o.where is not None else None
    if o.put is not None:
        alone(name, o.put.index, o.put.axis, where, o.put.combine, loc)
    elif where is not None:
        for holder, _ in parts or ((axis, None),):
            demands.reaches(holder, where, loc)
    return ir.Output(
        name,
        first.dtype,
        axis,
        columns,
        _tail(name, o, columns, axis, fences, loc),
        typing.cast("tuple[tuple[ir.Part, ir.Expr], ...]", parts),
        fences,
        where,
        o.put,
        loc=loc,
    )


def _tail(
    name: str,
    o: Out,
    columns: tuple[ir.Expr, ...],
    axis: ir.Axis | None,
    fences: bool,
    loc: Loc,
) -> ir.Tail:
    until = lift(o.until) if o.until is not None else None
    if until is not None and ir.axis_of(until) is not None:
        raise catalogue.bad_tail(name, name_of(ir.axis_of(until)), loc)
    if fences or o.last:
        total = _total(columns)
        if total is None:
            raise catalogue.last_needs_scan(name, loc)
        if fences and o.fill is not None:
            raise catalogue.fence_tail(name, loc)
        # The cell behind the last row is the total, whatever is said of those behind it.
        live = ir.Size(total.over, loc=loc)
        if o.undefined:
            until = live
        elif until is not None and fences:
            until = ir.Bin(ir.Op.MAX, until, live, loc=loc)
        return ir.Fill(total, until, loc=loc)
    if o.undefined:
        return ir.Undefined(loc=loc)
    if o.fill is None:
        return ir.Keep(loc=loc)
    fill = _at_cell(lift(o.fill), axis)
    if ir.axis_of(fill) is not None:
        wrong = catalogue.bad_tail if o.put is None else catalogue.bad_init
        raise wrong(name, name_of(ir.axis_of(fill)), loc)
    if axis is not None and _reads_cell(fill):
        raise catalogue.bad_tail(name, axis.name, loc)
    return ir.Fill(fill, until, loc=loc)


def _total(columns: tuple[ir.Expr, ...]) -> ir.Reduce | None:
    """What the last point of a running sum holds: the sum of all."""
    match columns:
        case (ir.Scan(of, over) as scan,):
            return ir.Reduce(ir.Monoid.SUM, of, over, None, loc=scan.loc)
        case (ir.Bin(ir.Op.ADD, ir.Scan(of, over) as scan, own),) if own == of:
            return ir.Reduce(ir.Monoid.SUM, of, over, None, loc=scan.loc)
        case _:
            return None


def _at_cell(e: ir.Expr, axis: ir.Axis | None) -> ir.Expr:
    """``e`` with the place of a point of ``axis`` as the cell that a tail fills."""
    match e:
        case ir.Index(own) if own == axis:
            return ir.Cell(loc=e.loc)
        # one number of the batch, whatever it is made of
        case _ if ir.axis_of(e) is None:
            return e
        case _:
            return ir.rebuild(e, tuple(_at_cell(c, axis) for c in ir.children(e)))


def _reads_cell(e: ir.Expr) -> bool:
    """Whether ``e`` reads an array at the cell without a condition: beyond the live rows."""
    match e:
        case ir.Load(_, index):
            return any(isinstance(x, ir.Cell) for x in ir.walk(*index))
        case ir.Where(cond):
            return _reads_cell(cond)
        case _:
            return any(_reads_cell(c) for c in ir.children(e))
