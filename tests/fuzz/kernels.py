"""Kernels of a user's own, beside what they mean in NumPy, and what a plan lets them read and write."""

from __future__ import annotations

from tests.fuzz.grammar import Grammar
from tests.fuzz.terms import WORDS, Ax, Place

HEAD = """\
import triton
import triton.language as tl
"""
MIRRORED = """
@triton.jit
def {name}(program, x_ptr, size_ptr, out_ptr, BLOCK: tl.constexpr = {block}):
    size = tl.load(size_ptr)
    row = program * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row, mask=row < size, other=0)
    tl.store(out_ptr + size - 1 - row, x, mask=row < size)


def {name}_meaning(x, size, *, out):
    out[:size] = x[:size][::-1]

"""
SUMMED = """
@triton.jit
def {name}(program, table_ptr, table_stride, out_ptr, LANES: tl.constexpr = {block}):
    lane = tl.arange(0, LANES)
    row = tl.load(table_ptr + program * table_stride + lane, mask=lane < {width}, other=0)
    tl.store(out_ptr + program, tl.sum(row, 0))


def {name}_meaning(table, *, out):
    out[:] = table.sum(axis=1)

"""
STARTED = """
@triton.jit
def {name}(program, x_ptr, size_ptr, out_ptr, last_ptr, LANES: tl.constexpr = {block}):
    size = tl.load(size_ptr)
    lane = tl.arange(0, LANES)
    x = tl.load(x_ptr + lane, mask=lane < size, other=0)
    tl.store(out_ptr, 0)
    tl.store(out_ptr + 1 + lane, tl.cumsum(x, 0), mask=lane < size)
    tl.store(last_ptr, tl.sum(x, 0))


def {name}_meaning(x, size, *, out, last):
    out[0] = 0
    out[1 : size + 1] = x[:size].cumsum()
    last[:] = x[:size].sum()

"""


def opaque(g: Grammar) -> None:
    """Adds a kernel to the plan: its text, the line that calls it, and its buffers among the outputs."""
    match g.whole(0, 3):
        case 0:
            _summed(g)
        case 1:
            _started(g)
        case _:
            _mirrored(g)


def power(count: int) -> int:
    """The lanes that ``count`` numbers take."""
    return 1 << max(count - 1, 0).bit_length()


def _call(
    g: Grammar,
    text: str,
    block: int,
    reads: str,
    writes: dict[str, str],
    programs: str,
    **more: int,
) -> list[str]:
    """The texts of the buffers that a new kernel fills."""
    name, made = g.fresh("kernel"), g.fresh("made")
    g.kernels[name] = text.format(name=name, block=block, **more)
    filled = ", ".join(f"{key}=mp.buffer({shape})" for key, shape in writes.items())
    g.line(
        made,
        f"mp.opaque({name}, reads=({reads},), writes=dict({filled}), "
        f"meaning={name}_meaning, programs={programs})",
    )
    found = [f'{made}["{key}"]' for key in writes]
    g.outputs += [(g.fresh("out"), buffer) for buffer in found]
    return found


def _root(g: Grammar) -> Ax:
    return g.pick([a for a in g.axes if a.kind == "root"])


def _read(g: Grammar, axis: Ax, dtype: str, lo: int, hi: int) -> str:
    """An input with a number for each point, or an output of the plan."""
    if g.copies or g.chance(0.5):
        marks = ["HOST"] if g.chance(0.3) else []
        return g.array(dtype, (axis.name,), lo, hi, *marks).name
    x = g.clamped(g.number(Place(axis, (), 2), g.whole(1, 3), dtype), lo, hi)
    kept = g.fresh("kept")
    tail = g.pick(["", "", f", {WORDS[dtype]}(0)", ", mp.UNDEFINED"])
    own = f"mp.on({axis.text}, {x.text})"
    g.line(kept, f"mp.tail({own}{tail})" if tail else own)
    g.outputs.append((g.fresh("out"), kept))
    return kept


def _mirrored(g: Grammar) -> None:
    """A row of numbers backwards, now and then twice."""
    axis, dtype, block = _root(g), g.pick(["i32", "i64", "u8"]), g.pick([4, 16, 64])
    read = _read(g, axis, dtype, 0, 60)
    for _ in range(g.pick([1, 1, 2])):
        programs = str(-(-axis.cap // block))
        shape = {"out": f"{WORDS[dtype]}, {axis.text}"}
        (read,) = _call(g, MIRRORED, block, f"{read}, {axis.text}.size", shape, programs)
        made = g.fresh("again")
        g.line(made, read)
        g.outputs[-1] = (g.outputs[-1][0], made)
        read = made


def _summed(g: Grammar) -> None:
    """The rows of a table, each added up by a program of its own."""
    rows, width = g.whole(1, 9), g.whole(1, 6)
    table = g.array("i32", (rows, width), -9, 60, stem="table")
    slot = g.fresh("slot")
    g.line(slot, f"mp.dense(None, {rows})")
    programs = g.pick([str(rows), slot])
    _call(g, SUMMED, power(width), table.name, {"out": f"i32, {slot}"}, programs, width=width)


def _started(g: Grammar) -> None:
    """Where the rows of an axis begin, and behind the last one."""
    axis = _root(g)
    read = _read(g, axis, "i32", 0, 9)
    writes = {"out": f"i32, {axis.text}, fences=True", "last": "i32"}
    _call(g, STARTED, power(axis.cap), f"{read}, {axis.text}.size", writes, "1")
