"""Values that go where an index says: by mp.put, by mp.update, by a kernel of the user's own."""

from __future__ import annotations

from metaplan.errors import Loc, PlanError


def put_is_whole(word: str, loc: Loc) -> PlanError:
    return PlanError(
        f"{word} is given what mp.put returned, which itself says what its cells hold",
        loc=loc,
        hint="write it there: mp.put(into, index, value, where=..., init=...)",
    )


def combine_dtype(how: str, dtype: str, loc: Loc) -> PlanError:
    return PlanError(
        f'combine="{how}" is for int32 and int64; this is {dtype}',
        loc=loc,
        hint="a GPU combines words, not bytes: declare it as i32",
    )


def bad_init(name: str, lives: str, loc: Loc) -> PlanError:
    return PlanError(
        f"what the cells of {name} hold before lives on {lives}: no cell is a row of it",
        loc=loc,
        hint="init= may name constants, scalars, sizes (req.size) and the cell itself (into.index)",
    )


def combined_and_read(name: str, how: str, loc: Loc) -> PlanError:
    return PlanError(
        f'{name} is read where several points change it by combine="{how}", and nothing orders the two',
        loc=loc,
        hint="read it in a plan of its own that runs before or after this one",
    )
