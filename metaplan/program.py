"""A program: what the kernels of a plan do, line by line. Everything is decided here; codegen only prints."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Let:
    """``name = value``; ``note`` is the user's line that it comes from."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Store:
    """``value`` to ``pointer``, where ``mask`` holds (everywhere without one)."""

    pointer: str
    value: str
    mask: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Atomic:
    """``value`` joins what ``pointer`` holds (``how``: add, max, min, or) where ``mask`` holds, in no order."""

    how: str
    pointer: str
    value: str
    mask: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Count:
    """One more in the flag ``pointer`` for every lane of a tile of ``shape`` where ``mask`` holds.

    ``beside`` is what its lanes have loaded, if anything. Triton lets lanes lie as they are loaded, and all that is
    computed from it; a count that hangs on no load lies elsewhere, and what it needs is computed twice.
    """

    pointer: str
    mask: str
    note: str = ""
    shape: str = "()"
    beside: str = ""


@dataclass(frozen=True, slots=True)
class CountAll:
    """What each lane has counted in ``times``, in the flag ``pointer``."""

    pointer: str
    times: str


@dataclass(frozen=True, slots=True)
class Barrier:
    """Every read of this program happens before every write that follows."""


@dataclass(frozen=True, slots=True)
class Remark:
    """A line for the reader."""

    text: str


@dataclass(frozen=True, slots=True)
class Loop:
    """``for name in range(start, stop, step)``; ``unroll`` turns are written out by the compiler."""

    name: str
    start: str
    stop: str
    step: str
    body: tuple[Stmt, ...]
    unroll: int = 1


@dataclass(frozen=True, slots=True)
class If:
    cond: str
    body: tuple[Stmt, ...]


Stmt: TypeAlias = Let | Store | Atomic | Count | CountAll | Barrier | Remark | Loop | If


class Role(Enum):
    """What an argument of a kernel is."""

    INPUT = "input"
    LIVE = "live"
    STRIDE = "stride"
    OUTPUT = "output"
    FLAGS = "flags"
    WORKSPACE = "workspace"


@dataclass(frozen=True, slots=True)
class Param:
    """An argument: a pointer to elements of ``dtype``, or a plain integer for a stride."""

    name: str
    role: Role
    of: str
    dtype: str
    note: str
    dim: int = 0


@dataclass(frozen=True, slots=True)
class Region:
    """One kind of work: ``programs`` programs of a kernel that run the same lines.

    ``texts`` are functions of the user's own, the last of which is called instead.
    """

    name: str
    title: str
    params: tuple[str, ...]
    programs: int
    body: tuple[Stmt, ...]
    texts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Kernel:
    """One launch: its regions take consecutive ranges of program ids."""

    name: str
    params: tuple[Param, ...]
    regions: tuple[Region, ...]
    num_warps: int
    helpers: tuple[str, ...] = ()

    @property
    def grid(self) -> int:
        return sum(r.programs for r in self.regions)

    @property
    def title(self) -> str:
        """What a reader of the kernel is told of its grid."""
        if len(self.regions) == 1:
            return "1 program." if self.grid == 1 else f"{self.grid} programs of one kind."
        return f"{self.grid} programs; each kind of work takes a range of them."

    @property
    def integers(self) -> tuple[str, ...]:
        """The arguments that are integers: no value of theirs is specialised on."""
        return tuple(p.name for p in self.params if p.role is Role.STRIDE)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The pointers that a caller chooses: nothing is assumed about their alignment."""
        return tuple(p.name for p in self.params if p.role in (Role.INPUT, Role.LIVE))

    @property
    def starts(self) -> tuple[int, ...]:
        """The first program of each region."""
        return tuple(sum(r.programs for r in self.regions[:at]) for at in range(len(self.regions)))


@dataclass(frozen=True, slots=True)
class Buffer:
    """A buffer that ``compile`` allocates: an output, the flags or a workspace between launches."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    tail: str

    @property
    def bytes(self) -> int:
        cells = 1
        for n in self.shape:
            cells *= n
        return cells * {"bool": 1, "uint8": 1, "uint16": 2, "int32": 4, "int64": 8}[self.dtype]


@dataclass(frozen=True, slots=True)
class Program:
    """The launches of a plan, in order, and what they need."""

    name: str
    kernels: tuple[Kernel, ...]
    buffers: tuple[Buffer, ...]
    flags: tuple[str, ...]
    reasons: tuple[tuple[str, str], ...]
    dependent: bool = False
    """Whether its kernels wait, inside, for the kernel that the device runs in front of them."""
    linked: bool = False
    """Whether each but the first may start before the one before it is done, and waits for it inside."""

    @property
    def texts(self) -> tuple[str, ...]:
        """The functions of the user's own, each once, those that are called first."""
        every = [t for k in self.kernels for r in k.regions for t in r.texts]
        return tuple(dict.fromkeys(every))
