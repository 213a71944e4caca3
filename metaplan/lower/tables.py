"""Lists of tensors: a kernel reads where each one is, and how far its rows are apart, from a table."""

from __future__ import annotations

from metaplan import ir
from metaplan.ir import DType, Op
from metaplan.lower.names import Names


def width(source: ir.Input) -> int:
    """Numbers that the table has for each tensor: its address, then the strides of its rows."""
    return len(source.dims) - 1


def entry(names: Names, source: ir.Input, number: ir.Expr, at: int) -> ir.Load:
    """The address of the tensor ``number`` for ``at`` 0, else the stride of its dimension ``at - 1``."""
    dtype, quiet = ir.dtype_of(number), source.loc.unnamed()
    table = ir.Input(source.name, DType.I64, (source.dims[0],), loc=quiet)
    place: ir.Expr
    if isinstance(number, ir.Const):
        place = ir.Const(number.value * width(source) + at, dtype, loc=quiet)
    else:
        scale = ir.Const(width(source), dtype, loc=quiet)
        place = number if width(source) == 1 else ir.Bin(Op.MUL, number, scale, loc=quiet)
        if at:
            place = ir.Bin(Op.ADD, place, ir.Const(at, dtype, loc=quiet), loc=quiet)
    found = ir.Load(table, (place,), loc=quiet)
    stride = "stride" if width(source) == 2 else f"stride_{at - 1}"
    names.hints.setdefault(found, f"{source.name}_{stride if at else 'address'}")
    return found
