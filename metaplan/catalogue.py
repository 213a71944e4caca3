"""Every mistake that a user can make in a plan or a call, in one place: what is wrong, and the words to write.

Each function builds one error; the caller raises it. Numbers, names and spans come from the caller,
the sentences live here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable

from metaplan.errors import CallError, Loc, PlanError


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


# ------------------------------------------------------------ declaring


def bad_annotation(name: str, loc: Loc) -> PlanError:
    return PlanError(
        f"{name} is not declared as an input",
        loc=loc,
        hint=f'annotate it: {name}: Annotated[i32, "req"] (a device tensor), or {name}: i32 (a scalar)',
    )


def unnamed_axis(word: str, loc: Loc) -> PlanError:
    return PlanError(
        f"this {word} has no name",
        loc=loc,
        hint=f'assign it to a variable, tok = mp.{word}(...), or pass name="tok"',
    )


def duplicate_name(kind: str, name: str, loc: Loc) -> PlanError:
    return PlanError(
        f"{kind} {name} is declared twice", loc=loc, hint="give each its own name with name=..."
    )


def outputs_not_dict(got: str, loc: Loc) -> PlanError:
    return PlanError(
        f"a plan returns a dict of outputs by name; this one returned {got}",
        loc=loc,
        hint="return dict(positions=..., slot_mapping=...)",
    )


def not_an_output(name: str, got: str, loc: Loc) -> PlanError:
    return PlanError(
        f"output {name} is {got}, not a value of the plan",
        loc=loc,
        hint="return expressions over inputs and axes; wrap a constant as mp.i32(0) on an axis",
    )


def outside_plan(word: str, loc: Loc) -> PlanError:
    return PlanError(
        f"mp.{word} means something only while a plan is being declared",
        loc=loc,
        hint="call it inside the function under @mp.plan",
    )


# ---------------------------------------------------------- expressions


def truth_of_value(loc: Loc) -> PlanError:
    return PlanError(
        "a value of the plan has no truth while it is declared: the GPU decides it later",
        loc=loc,
        hint="choose with mp.where(condition, a, b), combine with & | ~",
    )


def different_branches(a: str, b: str, loc: Loc) -> PlanError:
    return PlanError(
        f"values of {a} and {b} cannot meet: neither axis is above the other",
        loc=loc,
        hint=f"reduce one to a common ancestor (mp.sum(x, over={b})), or index an array with it",
    )


def mixed_dtypes(a: str, b: str, loc: Loc) -> PlanError:
    return PlanError(
        f"{a} and {b} are mixed in one operation",
        loc=loc,
        hint="convert one side: i64(x) widens, i32(x) narrows or makes a bool a number",
    )


def not_integer(got: str, loc: Loc) -> PlanError:
    return PlanError(
        f"{got} is not an integer, a bool or a value of the plan",
        loc=loc,
        hint="plans compute integers only; pass an int, or declare an input",
    )


def wrong_kind(op: str, dtype: str, loc: Loc) -> PlanError:
    return PlanError(
        f"{op} has no meaning for {dtype}",
        loc=loc,
        hint="compare first to get a bool, or convert: i32(x)",
    )


def index_count(name: str, shape: str, dims: Iterable[str], got: int, loc: Loc) -> PlanError:
    return PlanError(
        f"{name} has shape {shape}; {got} indices given",
        loc=loc,
        hint=f"index it as {name}[{', '.join(dims)}]",
    )


def unlifted_input(name: str, dim: str, loc: Loc) -> PlanError:
    return PlanError(
        f"{name} is used as a value, but {dim} is no axis of this plan",
        loc=loc,
        hint=f'index it, {name}[...], or declare the axis: {dim} = mp.axis("{dim}")',
    )


def divisor_not_positive(text: str, loc: Loc) -> PlanError:
    return PlanError(
        f"the divisor may be zero or negative: it lies in {text}",
        loc=loc,
        hint="divide by a positive constant, or by mp.maximum(x, 1)",
    )


def shift_out_of_range(text: str, loc: Loc) -> PlanError:
    return PlanError(
        f"the shift may be negative or as wide as the word: it lies in {text}",
        loc=loc,
        hint="bound it: mp.minimum(mp.maximum(x, 0), 31)",
    )


def not_below(axis: str, to: str, loc: Loc) -> PlanError:
    return PlanError(
        f"{axis} is not below {to}",
        loc=loc,
        hint="reduce over a child axis: mp.sum(x, over=child), result on its parent",
    )


def value_not_on(axis: str, lives: str, loc: Loc) -> PlanError:
    return PlanError(
        f"this value lives on {lives}; {axis} cannot hold it",
        loc=loc,
        hint=f"reduce it first (mp.sum(x, over={lives})), or declare the axis under {lives}",
    )


def length_on_own_axis(name: str, lives: str, parent: str, loc: Loc) -> PlanError:
    return PlanError(
        f"the length of {name} lives on {lives}, which is not {parent} or above it",
        loc=loc,
        hint=f"a row of {name} belongs to a row of {parent}: give one length for each of those",
    )


def bad_tail(name: str, lives: str, loc: Loc) -> PlanError:
    return PlanError(
        f"the tail of {name} lives on {lives}; beyond the live points there are no rows",
        loc=loc,
        hint="a tail may name constants, scalars, sizes (tok.size) and the cell itself (tok.index)",
    )


def last_needs_scan(name: str, loc: Loc) -> PlanError:
    return PlanError(
        f"the tail of {name} cannot repeat the last value",
        loc=loc,
        hint="mp.LAST is for indptr and running sums; give the tail as a constant or a scalar",
    )


def not_state(name: str, loc: Loc) -> PlanError:
    return PlanError(
        f"{name} is updated, but it is declared as read only",
        loc=loc,
        hint=f"declare it with mp.STATE: {name}: Annotated[i32, ..., mp.STATE]",
    )


def state_race(name: str, loc: Loc) -> PlanError:
    return PlanError(
        f"{name} is read at another place than the one that this plan updates",
        loc=loc,
        hint="read the row that you write, or split the reading into a plan of its own that runs before",
    )


def written_twice(name: str, loc: Loc) -> PlanError:
    return PlanError(
        f"{name} has two writers in one launch, and nothing orders them",
        loc=loc,
        hint="merge them into one value with mp.where, or make them two plans",
    )


def unused_input(name: str, loc: Loc) -> PlanError:
    return PlanError(
        f"input {name} is declared and never read",
        loc=loc,
        hint="remove the parameter; an engine would pass it for nothing",
    )


# --------------------------------------------------------------- ranges


def may_overflow(dtype: str, lo: int, hi: int, loc: Loc) -> PlanError:
    return PlanError(
        f"this may not fit {dtype}: it lies in [{lo}, {hi}]",
        loc=loc,
        hint="declare the range of the inputs, Annotated[i32, ..., mp.below(n)], or compute in i64(...)",
    )


def out_of_bounds(name: str, dim: int, lo: int, hi: int, size: int, loc: Loc) -> PlanError:
    return PlanError(
        f"index {dim} of {name} lies in [{lo}, {hi}], outside 0..{size - 1}",
        loc=loc,
        hint="guard it: mp.where(inside, array[index], other), or give the array more room",
    )


def never_in_bounds(name: str, dim: int, lo: int, hi: int, size: int, loc: Loc) -> PlanError:
    return PlanError(
        f"index {dim} of {name} lies in [{lo}, {hi}], always outside 0..{size - 1}",
        loc=loc,
        hint="check the size given to compile(), and the formula of the index",
    )


def length_negative(axis: str, lo: int, loc: Loc) -> PlanError:
    return PlanError(
        f"a length of {axis} may be negative: as low as {lo}",
        loc=loc,
        hint="bound it: mp.maximum(length, 0), or mp.expect(length, 0, n) where the data promises it",
    )


def unbounded_row(axis: str, loc: Loc) -> PlanError:
    return PlanError(
        f"nothing bounds how long a row of {axis} can be",
        loc=loc,
        hint=f"declare it: mp.ragged(parent, length, most=n), or give {axis}=n to compile()",
    )


# -------------------------------------------------------------- compile


def missing_sizes(plan: str, names: Iterable[str]) -> CallError:
    wanted = list(names)
    return CallError(
        f"{plan} needs a capacity for {_listed(wanted)}",
        hint=f"compile({', '.join(f'{n}=...' for n in wanted)})",
    )


def unknown_size(plan: str, name: str, known: Iterable[str]) -> CallError:
    return CallError(
        f"{plan} has no axis or dimension called {name}", hint=f"it has: {_listed(known)}"
    )


def bad_size(name: str, value: object) -> CallError:
    return CallError(
        f"the capacity of {name} is {value!r}", hint="give a whole number, 1 or more"
    )


def unknown_target(name: str, known: Iterable[str]) -> CallError:
    return CallError(f"unknown target {name}", hint=f"one of: {_listed(known)}")


def no_device(device: str) -> CallError:
    return CallError(
        f"device {device} is not available in this process",
        hint='compile(device="cpu") runs the same plan in NumPy',
    )


# ----------------------------------------------------------------- call


def unknown_argument(plan: str, name: str, known: Iterable[str]) -> CallError:
    return CallError(f"{plan} has no input {name}", hint=f"its inputs: {_listed(known)}")


def missing_arguments(plan: str, names: Iterable[str]) -> CallError:
    return CallError(
        f"{plan} was called without {_listed(names)}",
        hint="pass every input by name, and the live number of each root axis",
    )


def wrong_type(name: str, shape: str, got: str) -> CallError:
    return CallError(f"{name} is {got}", hint=f"pass {shape} as {_WHAT[shape[-1] == ']']}")


_WHAT = {True: "a torch tensor on the step's device, or an array for a host input", False: "a tensor"}


def wrong_dtype(name: str, want: str, got: str) -> CallError:
    return CallError(f"{name} is {got}, the plan declares {want}", hint=f"convert it: {name}.to(torch.{want})")


def wrong_shape(name: str, want: str, got: tuple[int, ...]) -> CallError:
    return CallError(f"{name} has shape {list(got)}, the plan needs {want}", hint="pass a view of that shape")


def wrong_device(name: str, want: str, got: str) -> CallError:
    return CallError(
        f"{name} is on {got}, the step runs on {want}",
        hint="move it once, outside the loop; or declare it mp.HOST to have it staged",
    )


def not_contiguous(name: str, stride: tuple[int, ...]) -> CallError:
    return CallError(
        f"{name} has strides {list(stride)}; its last dimension must be contiguous",
        hint=f"pass {name}.contiguous(), made once, outside the loop",
    )


def size_above_capacity(axis: str, live: int, capacity: int) -> CallError:
    return CallError(
        f"{axis}={live} is above the capacity {capacity}",
        hint=f"compile({axis}={live}) or more; capacities are fixed there",
    )


def bad_live_size(axis: str, got: str) -> CallError:
    return CallError(
        f"the live number of {axis} is {got}",
        hint=f"pass {axis}=n, a whole number from 0, or an int32[1] tensor on the device",
    )


def value_out_of_range(name: str, value: int, lo: int, hi: int) -> CallError:
    return CallError(
        f"{name} holds {value}, outside its declared range [{lo}, {hi}]",
        hint="the plan's bounds were proved from that range: pass values inside it, or declare a wider one",
    )


def rebound_after_emit(names: Iterable[str]) -> CallError:
    return CallError(
        f"{_listed(names)} moved after this step was recorded into a graph, which would go on reading the old tensor",
        hint="keep the tensor that was recorded and write into it, or compile a second step",
    )


def emit_before_bind(plan: str) -> CallError:
    return CallError(
        f"{plan} was emitted before its inputs were bound",
        hint="step.bind(name=tensor, ...) first; the graph records those addresses",
    )


def released(plan: str) -> CallError:
    return CallError(f"this step of {plan} was closed", hint="compile it again")
