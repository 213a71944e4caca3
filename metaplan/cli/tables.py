"""The tables that the commands print."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from metaplan.auditing.counts import NAMES
from metaplan.auditing.report import Report as Audited
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


def audited(reports: Sequence[Audited]) -> None:
    """What the steps of each trace do, side by side, and below it what waits, with its lines."""
    console = Console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("a step")
    for report in reports:
        table.add_column(report.name, justify="right")
    table.add_row("us on the host", *(_microseconds(report.step_us) for report in reports))
    table.add_row("us on the GPU", *(_microseconds(report.gpu_us) for report in reports))
    for name in NAMES:
        means = [report.a_step()[name] for report in reports]
        bad = name in ("pageable", "waits", "allocations") and any(means)
        words = [f"{mean:.2f}".removesuffix(".00") for mean in means]
        table.add_row(name.replace("_", " "), *words, style="red" if bad else "")
    table.add_section()
    table.add_row("steps", *(f"{len(report.steps):,}" for report in reports))
    leads = [report.lead for report in reports]
    table.add_row("run-ahead", *(f"{lead.run_ahead:.0%}" if lead else "-" for lead in leads))
    table.add_row("lead us", *(_microseconds(lead.p50_us if lead else None) for lead in leads))
    for name, words in _idle(reports):
        table.add_row(name, *words)
    console.print(table)
    for report in reports:
        for one in report.findings:
            console.print(str(one), style="red", highlight=False, soft_wrap=True)
            for line in one.stack[1:]:
                console.print(f"    from {line}", highlight=False, soft_wrap=True)
        if report.clean:
            console.print(f"{report.name}: nothing waited", highlight=False, soft_wrap=True)


def _idle(reports: Sequence[Audited]) -> list[tuple[str, list[str]]]:
    """A row for each device and number; a trace that does not know the device has a dash."""
    rows: list[tuple[str, list[str]]] = []
    for device in sorted({one.device for report in reports for one in report.idle}):
        ones = [next((x for x in r.idle if x.device == device), None) for r in reports]
        name = f"GPU {device} idle"
        rows += [
            (name, [f"{one.share:.1%}" if one else "-" for one in ones]),
            (
                f"{name} but for kernels",
                [f"{one.kernels_share:.1%}" if one else "-" for one in ones],
            ),
            (
                f"{name} us, median",
                [_microseconds(one.gap_p50_us if one else None) for one in ones],
            ),
            (f"{name} us, most", [_microseconds(one.gap_max_us if one else None) for one in ones]),
        ]
    return rows


def _microseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}"
