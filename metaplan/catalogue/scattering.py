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


def patch_table(got: str, dims: int, loc: Loc) -> PlanError:
    need = "one dimension" if dims == 1 else "two dimensions"
    return PlanError(
        f"mp.patch changes a state of {need} here, not {got}",
        loc=loc,
        hint='declare it: table: Annotated[i32, "row", "page", mp.STATE], with rows=; or one dimension without rows=',
    )


def patch_contents(got: str, loc: Loc) -> PlanError:
    return PlanError(
        f"the contents of patches are an input of one named dimension, not {got}",
        loc=loc,
        hint='declare it: contents: Annotated[i32, "cell", mp.HOST]; compile(cell=...) says how many there can be',
    )


def patch_alone(loc: Loc) -> PlanError:
    return PlanError(
        "mp.patch is given one length for the whole batch",
        loc=loc,
        hint='declare an axis of patches, patch = mp.axis("patch"), and lengths: Annotated[i32, "patch", ...]',
    )


def combined_and_read(name: str, how: str, loc: Loc) -> PlanError:
    return PlanError(
        f'{name} is read where several points change it by combine="{how}", and nothing orders the two',
        loc=loc,
        hint="read it in a plan of its own that runs before or after this one",
    )
