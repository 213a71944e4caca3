"""``@mp.plan``: runs a declaration once and keeps what it said."""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from metaplan import catalogue, ir, text, verify
from metaplan.errors import Loc
from metaplan.lang.arrays import Array, array
from metaplan.lang.axes import Axis, Indptr
from metaplan.lang.dtypes import Typed
from metaplan.lang.tracing import CURRENT, Trace
from metaplan.lang.values import Value, lift, name_of, one_branch
from metaplan.lang.words import Change, Out
from metaplan.passes.rewrite import Rewriter

if TYPE_CHECKING:
    from metaplan.runtime.step import Step


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

    def compile(
        self,
        *,
        device: str = "cuda",
        target: str | None = None,
        lag: int = 1,
        **sizes: int,
    ) -> Step:
        """A bound step for fixed capacities: buffers allocated once, nothing compiled afterwards.

        Args:
            device: "cuda" (NVIDIA or AMD), or "cpu": the plan itself in NumPy, same API.
            target: "cuda:90", "hip:gfx942", ...; that of the device if not given.
            lag: how many steps the host may run ahead; the staging ring has lag + 2 slots.
            **sizes: the capacity of each root axis and free dimension, by name.

        Raises:
            PlanError: what the bounds of the plan do not allow, with the line and what to write.
            CallError: a capacity is missing or unknown, or the device is not there.
        """
        from metaplan.runtime.step import make_step

        return make_step(self.ir, sizes, device=device, target=target, lag=lag)


def plan(function: Callable[..., Mapping[str, Value | Out | Change]]) -> Plan:
    """Declares a plan: the parameters are its inputs, the returned dict its outputs by name.

    A parameter is ``Annotated[i32, "req", "page", mp.below(n)]``: a device tensor with those
    dimensions, whose values lie in that range. Without dimensions it is a scalar. ``mp.HOST`` says
    that the array comes from the host each step, ``mp.STATE`` that the plan updates it in place.
    """
    caller = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
    trace = Trace()
    token = CURRENT.set(trace)
    try:
        given = _parameters(function, dict(caller.f_locals))
        outputs = function(**given)
        made = _plan(function, trace, outputs)
    finally:
        CURRENT.reset(token)
    verify.verify(made)
    return Plan(made)


def _place(function: Callable[..., Any]) -> Loc:
    code = function.__code__
    return Loc(code.co_filename, code.co_firstlineno)


def _parameters(function: Callable[..., Any], around: dict[str, Any]) -> dict[str, Array]:
    closure = inspect.getclosurevars(function).nonlocals
    hints = typing.get_type_hints(
        function, localns={**around, **closure}, include_extras=True
    )
    out: dict[str, Array] = {}
    for name in inspect.signature(function).parameters:
        hint = hints.get(name)
        base, marks = hint, ()
        if typing.get_origin(hint) is Annotated:
            base, *rest = typing.get_args(hint)
            marks = tuple(rest)
        if not (isinstance(base, type) and issubclass(base, Typed)):
            raise catalogue.bad_annotation(name, _place(function))
        out[name] = array(name, base.KIND, *marks, loc=_parameter_place(function, name))
    return out


def _parameter_place(function: Callable[..., Any], name: str) -> Loc:
    first = _place(function)
    lines, start = inspect.getsourcelines(function) if _has_source(function) else ([], first.line)
    for at, line in enumerate(lines):
        column = line.find(f"{name}:")
        if column >= 0 and not line[:column].rstrip().endswith("def"):
            return Loc(first.file, start + at, start + at, column, column + len(name))
    return first


def _has_source(function: Callable[..., Any]) -> bool:
    try:
        inspect.getsourcelines(function)
    except (OSError, TypeError):
        return False
    return True


def _plan(function: Callable[..., Any], trace: Trace, returned: Any) -> ir.Plan:
    if not isinstance(returned, Mapping):
        raise catalogue.outputs_not_dict(type(returned).__name__, _place(function))
    outputs: list[ir.Output] = []
    updates: list[ir.Update] = []
    for name, value in typing.cast("Mapping[str, object]", returned).items():
        if isinstance(value, Change):
            updates.append(_update(str(name), value))
        elif isinstance(value, Value | Out):
            outputs.append(_output(str(name), value))
        else:
            raise catalogue.not_an_output(str(name), repr(value), _place(function))
    return ir.Plan(
        function.__name__,
        tuple(trace.inputs),
        tuple(trace.axes),
        tuple(outputs),
        tuple(updates),
        loc=_place(function),
    )


def _update(name: str, change: Change) -> ir.Update:
    axis: ir.Axis | None = None
    for e in (*change.index, change.value, *([change.where] if change.where is not None else [])):
        if not one_branch(axis, ir.axis_of(e)):
            raise catalogue.different_branches(name_of(axis), name_of(ir.axis_of(e)), change.loc)
        axis = ir.deeper(axis, ir.axis_of(e))
    return ir.Update(
        name, change.target.input, change.index, change.value, axis, change.where, loc=change.loc
    )


def _output(name: str, value: Value | Out) -> ir.Output:
    o = value if isinstance(value, Out) else Out((value,), loc=value.expr.loc)
    loc = o.loc or Loc.here()
    first = o.columns[0] if o.columns else o.parts[0][1]
    axis = o.axis.ir if isinstance(o.axis, Axis) else first.axis
    fences = len(o.columns) == 1 and isinstance(first, Indptr) and o.axis is None
    columns = tuple(c.expr for c in o.columns)
    parts = tuple((part.ir, v.expr) for part, v in o.parts)
    return ir.Output(
        name,
        first.dtype,
        axis,
        columns,
        _tail(name, o, columns, axis, fences, loc),
        typing.cast("tuple[tuple[ir.Part, ir.Expr], ...]", parts),
        fences,
        o.where.expr if o.where is not None else None,
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
    if o.undefined:
        return ir.Undefined(loc=loc)
    if fences or o.last:
        if not fences or not isinstance(columns[0], ir.Scan):
            raise catalogue.last_needs_scan(name, loc)
        scan = columns[0]
        total = ir.Reduce(ir.Monoid.SUM, scan.of, scan.over, None, loc=scan.loc)
        return ir.Fill(total, until, loc=loc)
    if o.fill is None:
        return ir.Keep(loc=loc)
    fill = Rewriter(_cell).expr(lift(o.fill, ir.dtype_of(columns[0]) if columns else ir.DType.I32))
    if ir.axis_of(fill) is not None:
        raise catalogue.bad_tail(name, name_of(ir.axis_of(fill)), loc)
    return ir.Fill(fill, until, loc=loc)


def _cell(e: ir.Expr) -> ir.Expr | None:
    return ir.Cell(loc=e.loc) if isinstance(e, ir.Index) else None
