"""What a declaration cannot say: parameters, annotations, names."""

from __future__ import annotations

from metaplan.errors import Loc, PlanError


def bad_annotation(name: str, loc: Loc) -> PlanError:
    return PlanError(
        f"{name} is not declared as an input",
        loc=loc,
        hint=f'annotate it: {name}: Annotated[i32, "req"] (a device tensor), or {name}: i32 (a scalar)',
    )


def not_dtype(name: str, got: str, loc: Loc) -> PlanError:
    return PlanError(
        f"the dtype of {name} is given as {got}",
        loc=loc,
        hint="name one of metaplan's: i32, i64, u8, u16, boolean",
    )


def bad_mark(name: str, got: str, loc: Loc) -> PlanError:
    return PlanError(
        f"the annotation of {name} holds {got}, which says nothing of an input",
        loc=loc,
        hint='it may hold dimensions ("req", 16), mp.below(n), mp.between(lo, hi), mp.HOST, mp.STATE, mp.EACH',
    )


def unreadable_annotations(plan: str, why: str, loc: Loc) -> PlanError:
    return PlanError(
        f"the annotations of {plan} cannot be read: {why}",
        loc=loc,
        hint="import what they name where the plan is declared: from metaplan import i32, i64",
    )


def host_state(name: str, loc: Loc) -> PlanError:
    return PlanError(
        f"{name} is declared both mp.HOST and mp.STATE; a plan updates what lies on the device",
        loc=loc,
        hint="drop mp.HOST and pass a device tensor",
    )


def bad_range(name: str, text: str, loc: Loc) -> PlanError:
    return PlanError(
        f"{text} is no range of integers for {name}",
        loc=loc,
        hint="give one range of whole numbers, the lower end first: mp.between(0, n)",
    )


def range_too_wide(name: str, text: str, dtype: str, loc: Loc) -> PlanError:
    return PlanError(
        f"the range {text} of {name} does not fit {dtype}",
        loc=loc,
        hint="narrow the range, or declare the input as i64",
    )


def bad_name(kind: str, got: object, loc: Loc) -> PlanError:
    return PlanError(
        f"{got!r} cannot name {_A[kind]}: generated code spells it out",
        loc=loc,
        hint="use letters, digits and _, and no word of Python",
    )


def reserved_name(kind: str, got: str, loc: Loc) -> PlanError:
    return PlanError(
        f"{got} cannot name {_A[kind]}: metaplan uses it itself",
        loc=loc,
        hint=f"call it otherwise: my_{got.strip('_')}, for one",
    )


def name_taken(kind: str, name: str, by: str, loc: Loc) -> PlanError:
    return PlanError(
        f"{kind} {name} has the name of {by}",
        loc=loc,
        hint="give each its own name: a call passes inputs and live numbers by name",
    )


_A = {
    "axis": "an axis",
    "buffer": "a buffer",
    "carry": "a carry",
    "copies": "copies",
    "dimension": "a dimension",
    "input": "an input",
    "kernel": "a kernel",
    "output": "an output",
    "part": "a part",
    "plan": "a plan",
}


def duplicate_name(kind: str, name: str, loc: Loc) -> PlanError:
    return PlanError(f"{kind} {name} is declared twice", loc=loc, hint="give each its own name")


def foreign(kind: str, name: str, plan: str, loc: Loc) -> PlanError:
    return PlanError(
        f"{kind} {name} belongs to another plan than {plan}",
        loc=loc,
        hint="pass formulas between plans as Python functions, not as values",
    )


def outside_plan(word: str, loc: Loc) -> PlanError:
    return PlanError(
        f"mp.{word} means something only while a plan is being declared",
        loc=loc,
        hint="call it inside the function under @mp.plan",
    )
