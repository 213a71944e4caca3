"""What a compiled plan will do and why: for people and as JSON."""

from __future__ import annotations

from metaplan import ir
from metaplan.program import Program
from metaplan.target import Target


def as_json(program: Program, plan: ir.Plan, target: Target) -> dict[str, object]:
    """Launches, grids, regions, buffers with bytes, capacities, checks and reasons."""
    return {
        "plan": program.name,
        "target": target.name,
        "launches": len(program.kernels),
        "kernels": [
            {
                "name": k.name,
                "grid": k.grid,
                "num_warps": k.num_warps,
                "arguments": len(k.params),
                "regions": [
                    {"name": r.name, "programs": r.programs, "does": r.title} for r in k.regions
                ],
            }
            for k in program.kernels
        ],
        "capacities": dict(plan.sizes),
        "buffers": [
            {
                "name": b.name,
                "dtype": b.dtype,
                "shape": list(b.shape),
                "bytes": b.bytes,
                "tail": b.tail,
            }
            for b in program.buffers
        ],
        "bytes": sum(b.bytes for b in program.buffers),
        "checks": list(program.flags),
        "reasons": dict(program.reasons),
    }


def _many(n: int, word: str, more: str = "") -> str:
    return f"{n} {word if n == 1 else more or word + 's'}"


def _bytes(n: int) -> str:
    for unit in ("B", "KiB", "MiB"):
        if n < 1024:
            return f"{n:.4g} {unit}"
        n /= 1024  # pyright: ignore[reportAssignmentType]
    return f"{n:.4g} GiB"


def as_text(program: Program, plan: ir.Plan, target: Target) -> str:
    """The same as lines to read."""
    launches = len(program.kernels)
    out = [f"{program.name} on {target.name}: {_many(launches, 'launch', 'launches')}"]
    for k in program.kernels:
        out.append(f"  {k.name}: grid {k.grid}, {k.num_warps} warps, {len(k.params)} arguments")
        out += [f"    {_many(r.programs, 'program')}: {r.title}" for r in k.regions]
    out.append("choices")
    out += [f"  {name}: {reason}" for name, reason in program.reasons]
    total = sum(b.bytes for b in program.buffers)
    out.append(f"buffers, {_bytes(total)} in all")
    for b in program.buffers:
        shape = ", ".join(map(str, b.shape))
        out.append(f"  {b.name}: {b.dtype}[{shape}], {_bytes(b.bytes)}, tail {b.tail}")
    out.append("capacities: " + ", ".join(f"{n} {c}" for n, c in plan.sizes))
    out.append("counted at run time, because only the data decides" if program.flags else "")
    out += [f"  {f}" for f in program.flags]
    return "\n".join(line for line in out if line) + "\n"
