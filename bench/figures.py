# pyright: basic
"""Plots of the results: a panel for each plan, a line for each side, both axes logarithmic."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import workloads
from bench.results_of import Results

QUERY = 4
BANDWIDTH = 4.8e6  # bytes a microsecond, an H200's memory
INK, MUTED, GRID = "#1f2328", "#6e7781", "#e3e6ea"


@dataclass(frozen=True, slots=True)
class Line:
    """How a side is drawn: the same colour and mark in every figure."""

    side: str
    label: str
    color: str
    mark: str
    width: float = 1.6
    dash: str = "-"


LINES = (
    Line("ours", "metaplan", "#0b63b0", "o", 2.8),
    Line("ours for all", "metaplan, one plan for all batches", "#0b63b0", "o", 1.2, (0, (2, 2))),  # type: ignore[arg-type]
    Line("ours from host", "metaplan, inputs from the host", "#0b63b0", "s", 1.2, (0, (4, 2))),  # type: ignore[arg-type]
    Line("hand-fused", "one kernel fused by hand", "#1a7f5a", "^"),
    Line("engine", "vLLM's own kernels", "#c4500c", "D"),
    Line("torch.compile, static", "torch.compile, static", "#9a4ea3", "v"),
    Line("torch.compile, as called", "torch.compile, as called", "#9a4ea3", "P", 1.2, (0, (2, 2))),  # type: ignore[arg-type]
    Line("torch eager", "torch eager", "#7b8794", "s"),
    Line("numpy + H2D", "numpy and copies", "#c29500", "X"),
)


def draw(results: Results, folder: Path) -> list[Path]:
    """The figures of these results, as PNG files in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    return [
        _figure(results, "gpu_us", "GPU microseconds of a step", folder / "gpu_time.png"),
        _figure(results, "cpu_us", "CPU microseconds of a call", folder / "cpu_time.png"),
    ]


def _figure(results: Results, name: str, title: str, path: Path) -> Path:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(2, 2, figsize=(10.5, 8.2), sharex=True)
    seen: dict[str, Any] = {}
    for plan, axes in zip(workloads.PLANS, panels.flat, strict=True):
        _panel(results, name, plan, axes, seen)
    for axes in panels[:, 0]:
        axes.set_ylabel("microseconds", color=MUTED)
    for axes in panels[1]:
        axes.set_xlabel("requests", color=MUTED)
    figure.suptitle(
        f"{title}, {QUERY} query tokens a request",
        x=0.065,
        y=0.985,
        ha="left",
        fontsize=14,
        color=INK,
    )
    order = [line.label for line in LINES if line.label in seen]
    order += [label for label in seen if label not in order]
    figure.legend(
        [seen[label] for label in order],
        order,
        loc="upper left",
        bbox_to_anchor=(0.058, 0.958),
        ncols=4,
        frameon=False,
        fontsize=9.5,
        labelcolor=INK,
    )
    figure.tight_layout(rect=(0, 0, 1, 0.915))
    figure.savefig(path, dpi=140, facecolor="white")
    pyplot.close(figure)
    return path


def _panel(results: Results, name: str, plan: str, axes: Any, seen: dict[str, Any]) -> None:
    lowest: list[float] = []
    for line in LINES:
        points = [
            (batch, value)
            for variant, batch, query in results.cells()
            if (variant, query) == (plan, QUERY)
            and (value := results.value((variant, batch, query), line.side, name)) is not None
        ]
        if not points:
            continue
        lowest += [value for _, value in points]
        (seen[line.label],) = axes.plot(
            *zip(*points, strict=True),
            color=line.color,
            marker=line.mark,
            linewidth=line.width,
            linestyle=line.dash,
            markersize=6 if line.width > 2 else 4.5,
            markeredgecolor="white",
            markeredgewidth=0.6,
            zorder=10 * line.width,
        )
    if name == "gpu_us" and lowest:
        _bytes(results, plan, axes, seen, min(lowest))
    axes.set_title(plan, loc="left", fontsize=11, color=INK)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(workloads.BATCHES, [str(b) for b in workloads.BATCHES])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=MUTED, length=0, labelsize=9)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(GRID)


def _bytes(results: Results, plan: str, axes: Any, seen: dict[str, Any], lowest: float) -> None:
    """The time that the written bytes alone take, where it is anywhere near the rest."""
    points = [
        (batch, written / BANDWIDTH)
        for variant, batch, query in results.cells()
        if (variant, query) == (plan, QUERY)
        and (written := results.value((variant, batch, query), "ours", "written_bytes")) is not None
        and written / BANDWIDTH > lowest / 4
    ]
    if points:
        (seen["bytes written at 4.8 TB/s"],) = axes.plot(
            *zip(*points, strict=True), color=MUTED, linewidth=1, linestyle=":"
        )
