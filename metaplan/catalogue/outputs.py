"""What a plan cannot return: outputs, tails, and updates that race."""

from __future__ import annotations

from metaplan.errors import Loc, PlanError


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
        hint="return values of the plan; a constant needs an axis to stand on: mp.on(tok, 0)",
    )


def no_outputs(plan: str, loc: Loc) -> PlanError:
    return PlanError(
        f"{plan} has neither outputs nor updates: a step of it would do nothing",
        loc=loc,
        hint="return dict(positions=..., slot_mapping=...)",
    )


def not_storable(word: str, got: str, loc: Loc) -> PlanError:
    return PlanError(
        f"{word} stores values of the plan; this is {got}",
        loc=loc,
        hint=f"{word}(value, ...), with an expression over inputs and axes",
    )


def no_columns(axis: str, loc: Loc) -> PlanError:
    return PlanError("mp.on is given nothing to store", loc=loc, hint=f"mp.on({axis}, value, ...)")


def part_alone(name: str, part: str, whole: str, loc: Loc) -> PlanError:
    word = part.removeprefix(f"{whole}_")
    return PlanError(
        f"output {name} stands on {part}, which is a part of the rows of {whole}",
        loc=loc,
        hint=f"store it in its rows: mp.join({whole}, {word}=...)",
    )


def cell_unproved(loc: Loc) -> PlanError:
    return PlanError(
        "this may fail in a cell beyond the live points, of which the data promises nothing",
        loc=loc,
        hint="clamp it: mp.minimum(tok.index, n - 1), or choose: mp.where(tok.index < n, ..., 0)",
    )


def bad_tail(name: str, lives: str, loc: Loc) -> PlanError:
    return PlanError(
        f"the tail of {name} lives on {lives}; beyond the live points there are no rows",
        loc=loc,
        hint="a tail may name constants, scalars, sizes (tok.size) and the cell itself (tok.index)",
    )


def tail_dtype(held: str, got: str, loc: Loc) -> PlanError:
    write = {"bool": "True or False", "int32": "a number, or i32(x)"}.get(held, f"{held} values")
    return PlanError(
        f"the tail is {got}, what lies before it {held}", loc=loc, hint=f"give the tail as {write}"
    )


def until_dtype(dtype: str, loc: Loc) -> PlanError:
    return PlanError(
        f"until= counts points and is int32; this is {dtype}", loc=loc, hint="convert it: i32(x)"
    )


def fence_tail(name: str, loc: Loc) -> PlanError:
    return PlanError(
        f"the tail of {name} repeats its total, as it does for every indptr",
        loc=loc,
        hint="leave the tail out, or say how far it goes: mp.tail(x, mp.LAST, until=n)",
    )


def last_needs_scan(name: str, loc: Loc) -> PlanError:
    return PlanError(
        f"the tail of {name} cannot repeat the last value",
        loc=loc,
        hint="mp.LAST is the total of tok.indptr, mp.indptr(x) or mp.cumsum(x);"
        " give another tail as a number",
    )


def not_state(name: str, loc: Loc) -> PlanError:
    return PlanError(
        f"{name} is updated, but it is declared as read only",
        loc=loc,
        hint=f"declare it with mp.STATE: {name}: Annotated[i32, ..., mp.STATE]",
    )


def not_element(got: str, loc: Loc) -> PlanError:
    return PlanError(
        f"mp.update changes an element of a state, not {got}",
        loc=loc,
        hint="name the element: mp.update(state[i], value)",
    )


def state_race(name: str, loc: Loc) -> PlanError:
    return PlanError(
        f"{name} is read elsewhere than where this plan updates it, and nothing orders the two",
        loc=loc,
        hint="read it for the row that you write, outside sums, lengths and tails,"
        " or in a plan of its own that runs before",
    )


def written_twice(name: str, loc: Loc) -> PlanError:
    return PlanError(
        f"{name} has two writers in one launch, and nothing orders them",
        loc=loc,
        hint="merge them into one value with mp.where, or make them two plans",
    )
