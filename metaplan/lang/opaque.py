"""``opaque``: a kernel of the user's own as one more part of a launch."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from metaplan import catalogue, ir
from metaplan.copies import mentioned
from metaplan.errors import Loc
from metaplan.ir import DType
from metaplan.lang import demands
from metaplan.lang.arrays import Array
from metaplan.lang.axes import Axis
from metaplan.lang.jitted import jitted
from metaplan.lang.tracing import tracing
from metaplan.lang.values import Value, described
from metaplan.lang.words import Out


@dataclass(frozen=True, slots=True)
class Buffer:
    """What a kernel fills: numbers of ``dtype``, as many as ``axis`` has points, and one more for fences."""

    dtype: DType
    axis: ir.Axis | None
    fences: bool = False


def buffer(dtype: type[Array], axis: Axis | None = None, *, fences: bool = False) -> Buffer:
    """A buffer with the shape of ``axis``, or of one number; ``fences``: with one cell more, as an indptr."""
    loc = Loc.here()
    kind = getattr(dtype, "KIND", None)
    if not isinstance(kind, DType):
        raise catalogue.not_dtype("a buffer", described(dtype), loc)
    shape = None if axis is None else demands.axis("buffer", axis, loc)
    if isinstance(shape, ir.Part):
        raise catalogue.part_sorted(shape.name, loc)
    if mentioned((), (shape,)):
        raise catalogue.opaque_copied(shape.name if shape is not None else "the batch", loc)
    return Buffer(kind, shape, fences)


@dataclass(frozen=True, slots=True, eq=False)
class Kernel:
    """A kernel that a plan calls, and what it is given."""

    function: FunctionType
    texts: tuple[tuple[str, str], ...]
    reads: tuple[object, ...]
    writes: Mapping[str, Buffer]
    meaning: Callable[..., None]
    programs: int | str
    loc: Loc


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """A buffer that a kernel fills; it gets the name that it has among the outputs of the plan."""

    kernel: Kernel
    key: str

    def output(self, name: str) -> ir.Output:
        shape = self.kernel.writes[self.key]
        keep = ir.Keep(loc=self.kernel.loc)
        return ir.Output(
            name, shape.dtype, shape.axis, (), keep, fences=shape.fences, loc=self.kernel.loc
        )


def opaque(
    function: object,
    *,
    reads: Sequence[object],
    writes: Mapping[str, Buffer],
    meaning: Callable[..., None],
    programs: int | Axis,
) -> dict[str, Made]:
    """Buffers that a ``@triton.jit`` function of your own fills, by the names of ``writes``.

    Args:
        function: ``f(program, *pointers)``: a pointer for each of ``reads``, behind that of an input of two
            dimensions the number of elements between its rows, then a pointer for each of ``writes``.
        reads: inputs, live numbers (``req.size``), and outputs of this plan, which are made a launch before.
        writes: ``mp.buffer(i32, tok)`` for each; what the function does not store keeps what was there.
        meaning: the same in NumPy: ``meaning(*reads, **writes)`` fills the arrays of ``writes``.
        programs: how many programs run it, numbered from 0: a number, or an axis for each of its capacity.
    """
    loc = Loc.here()
    own, texts = jitted(function, loc)
    if not isinstance(writes, Mapping) or not writes:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise catalogue.opaque_writes(own.__name__, loc)
    for name, shape in writes.items():
        demands.name("buffer", name, loc)
        if not isinstance(shape, Buffer):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise catalogue.opaque_writes(own.__name__, loc)
    if not callable(meaning):
        raise catalogue.opaque_meaning(own.__name__, described(meaning), loc)
    many: int | str
    if isinstance(programs, Axis):
        many = demands.axis("opaque", programs, loc).name
    else:
        many = demands.size(f"the number of programs of {own.__name__}", programs, loc)
    kernel = Kernel(own, texts, tuple(reads), dict(writes), meaning, many, loc)
    kernels = tracing("opaque").kernels
    known = {name: text for k in kernels for name, text in k.texts}
    for name, made in texts:
        if known.get(name, made) != made:
            raise catalogue.duplicate_name("kernel", name, loc)
    kernels.append(kernel)
    return {key: Made(kernel, key) for key in writes}


def declared(kernel: Kernel, plan: str, returned: Mapping[Any, object]) -> ir.Opaque:
    """``kernel`` with the names that its buffers have among the outputs ``returned`` of ``plan``."""
    own = kernel.function.__name__
    for name, _ in kernel.texts:
        if name == plan or name.startswith(f"{plan}_"):
            raise catalogue.reserved_name("kernel", name, kernel.loc)
    names = {
        v.key: str(k) for k, v in returned.items() if isinstance(v, Made) and v.kernel is kernel
    }
    for key in kernel.writes:
        if key not in names:
            raise catalogue.opaque_unused(own, key, kernel.loc)
    reads = tuple(_read(kernel, given, returned) for given in kernel.reads)
    pointers = [w for r in reads for w in _words(r)] + [f"{key}_ptr" for key in kernel.writes]
    try:
        inspect.signature(kernel.function).bind("program", *pointers)
    except TypeError as wrong:
        raise catalogue.opaque_arguments(own, ["program", *pointers], kernel.loc) from wrong
    return ir.Opaque(
        own,
        kernel.texts,
        reads,
        tuple((key, names[key]) for key in kernel.writes),
        kernel.programs,
        kernel.meaning,
        loc=kernel.loc,
    )


def _words(read: ir.Read) -> list[str]:
    """The arguments of a kernel for what it reads."""
    strides = [f"{read.name}_stride"] * max(read.dims - 1, 0)
    return [f"{read.name}_size_ptr" if read.kind is ir.Held.LIVE else f"{read.name}_ptr", *strides]


def _read(kernel: Kernel, given: object, returned: Mapping[Any, object]) -> ir.Read:
    loc = kernel.loc
    match given:
        case Array() if not given.input.each:
            i = given.input
            return ir.Read(ir.Held.INPUT, i.name, i.dtype, len(i.dims), loc=loc)
        case Value(expr=ir.Size(ir.Root(name))):
            return ir.Read(ir.Held.LIVE, name, DType.I32, loc=loc)
        case _:
            pass
    for name, value in returned.items():
        held = _dtype(given) if value is given else None
        if held is not None:
            return ir.Read(ir.Held.OUTPUT, str(name), held, loc=loc)
    raise catalogue.opaque_read(kernel.function.__name__, described(given), loc)


def _dtype(output: object) -> DType | None:
    match output:
        case Made(kernel, key):
            return kernel.writes[key].dtype
        case Out(columns, parts=parts):
            return (columns[0] if columns else parts[0][1]).dtype
        case Value():
            return output.dtype
        case _:
            return None
