"""Kernels of the user's own: what mp.opaque cannot take."""

from __future__ import annotations

from collections.abc import Iterable

from metaplan.catalogue.words import listed
from metaplan.errors import Loc, PlanError


def opaque_function(got: str, loc: Loc) -> PlanError:
    return PlanError(
        f"mp.opaque runs a function that is decorated with triton.jit alone, not {got}",
        loc=loc,
        hint="write @triton.jit def f(program, x_ptr, out_ptr): ...; what is tuned or launched elsewhere has no place here",
    )


def opaque_source(name: str, loc: Loc) -> PlanError:
    return PlanError(
        f"the text of {name} cannot be read, and the generated file holds it",
        loc=loc,
        hint="define it in a file, not in an interactive session",
    )


def opaque_global(name: str, used: str, got: str, loc: Loc) -> PlanError:
    return PlanError(
        f"{name} uses {used} from around it ({got}), which the generated file does not have",
        loc=loc,
        hint=_INSTEAD.get(got, f"make it a parameter with a default, {used}: tl.constexpr = 128"),
    )


_INSTEAD = {
    "a module": "a kernel has two modules: import triton, and import triton.language as tl",
    "a function": "decorate it with triton.jit alone, and call it by its own name",
}


def opaque_writes(name: str, loc: Loc) -> PlanError:
    return PlanError(
        f"{name} is not told what it fills",
        loc=loc,
        hint="name its buffers: writes=dict(order=mp.buffer(i32, tok))",
    )


def opaque_meaning(name: str, got: str, loc: Loc) -> PlanError:
    return PlanError(
        f"the meaning of {name} is {got}",
        loc=loc,
        hint="pass a function of NumPy arrays that fills the same buffers: def meaning(x, *, out): out[:] = ...",
    )


def opaque_reads_exact(name: str, axis: str, loc: Loc) -> PlanError:
    return PlanError(
        f"{name} reads {axis}.size, which is nowhere: {axis} has exactly its capacity",
        loc=loc,
        hint=f"compile with {axis}=n instead of {axis}=mp.exactly(n), or do not read {axis}.size",
    )


def opaque_unused(name: str, buffer: str, loc: Loc) -> PlanError:
    return PlanError(
        f"{name} fills {buffer}, which is no output of this plan",
        loc=loc,
        hint="return what mp.opaque returned among the outputs: return dict(positions=..., **made)",
    )


def opaque_read(name: str, got: str, loc: Loc) -> PlanError:
    return PlanError(
        f"{name} reads {got}, which is no input, no live number and no output of this plan",
        loc=loc,
        hint="a computed value becomes an output first: give mp.opaque the object that the plan returns",
    )


def opaque_arguments(name: str, given: Iterable[str], loc: Loc) -> PlanError:
    return PlanError(
        f"{name} does not take what it is given",
        loc=loc,
        hint=f"it is called with {listed(given)}",
    )


def opaque_copied(axis: str, loc: Loc) -> PlanError:
    return PlanError(
        f"the length of {axis} differs from copy to copy, and a kernel of your own is run once",
        loc=loc,
        hint="give its buffer an axis that all copies share",
    )
