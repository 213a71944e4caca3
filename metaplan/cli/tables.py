"""The tables that the commands print."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from metaplan.replay.report import Report


def replayed(report: Report) -> None:
    """A replay's counts, and a line for each plan."""
    console = Console()
    console.print(
        f"{report.trace} on {report.device}: {report.steps:,} steps, {len(report.requests):,} requests "
        f"(at most {report.most_requests} at once), {report.tokens:,} tokens",
        highlight=False,
        soft_wrap=True,
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    gpu = any(totals.gpu_us for totals in report.plans.values())
    table.add_column("plan")
    for name in ("steps", "mismatches", "host us", *(["GPU us"] if gpu else []), "bytes a step"):
        table.add_column(name, justify="right")
    for plan, totals in report.plans.items():
        row = totals.json()
        times = [_microseconds(row["host_us"]), *([_microseconds(row["gpu_us"])] if gpu else [])]
        cells = (
            f"{row['steps']:,}",
            f"{row['mismatches']:,}",
            *times,
            f"{row['bytes_per_step']:,}",
        )
        table.add_row(plan, *cells, style="red" if row["mismatches"] else "")
    console.print(table)
    for words in report.wrong:
        console.print(words, style="red", highlight=False)


def _microseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}"
