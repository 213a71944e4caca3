"""The launch before: one total for each block of rows, where a program cannot sum all by itself."""

from __future__ import annotations

from metaplan import ir
from metaplan.lower.emit import Shared
from metaplan.lower.names import names
from metaplan.lower.passes_over import Before, Sum, live_rows, pass_over
from metaplan.lower.scans import Summing
from metaplan.program import If, Let, Region, Stmt, Store
from metaplan.ranges import Ranges
from metaplan.schedule import Partial, Schedule


def region(schedule: Schedule, partial: Partial, kernel: str) -> tuple[Region, tuple[str, ...]]:
    """The region that sums blocks of rows for one running sum."""
    shared = Shared(schedule.plan, Ranges(), names(schedule.plan), schedule.scan_tile)
    prelude: list[Stmt] = []
    base = Summing(shared, prelude)
    live = live_rows(base, partial.along)
    body: list[Stmt] = [
        Let("first_row", f"program * {partial.rows}"),
        Let("last_row", f"tl.minimum(first_row + {partial.rows}, {live})"),
    ]
    total = Sum("total", partial.scan.of, partial.scan.over, Before("last_row"))
    pass_over(base, body, [total], start="first_row")
    pointer = shared.use(f"{partial.name}_ptr")
    body.append(Store(f"{pointer} + program", "total"))
    guard = f"program * {partial.rows} < {live}"
    made = Region(
        f"{kernel}_{partial.name}",
        f"totals over blocks of {partial.rows} rows of {partial.scan.over.name}.",
        tuple(shared.params),
        partial.blocks,
        (*prelude, If(guard, tuple(body))),
    )
    return made, tuple(shared.helpers)


def by_scan(schedule: Schedule) -> dict[ir.Scan, Partial]:
    """The prepared sums, as the last launch looks them up."""
    return {p.scan: p for p in schedule.partials}
