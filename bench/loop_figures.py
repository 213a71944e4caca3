# pyright: basic
"""The plot of bench/loops/idle.py: a panel for each model and batch, the GPU's idle share by host work.

The share is drawn linearly up to ``FEW`` per cent, where loops that overlap differ, and logarithmically beyond.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.figures import GRID, INK, MUTED, Line
from bench.loops_of import LoopResults

LINES = (
    Line("sync, lists", "synchronous, lists", "#7b8794", "s"),
    Line("sync, one copy", "synchronous, one pinned copy", "#c29500", "X"),
    Line("async, two pairs", "asynchronous, two buffer pairs, three streams", "#c4500c", "D"),
    Line("ours, outside the graph", "metaplan, in front of the graph", "#0b63b0", "o", 1.4, (0, (3, 2))),  # type: ignore[arg-type]
    Line("ours, beside the model", "metaplan's loop, the next step prepared beside this one", "#0b63b0", "^", 1.4, (0, (1, 1))),  # type: ignore[arg-type]
    Line("ours, two steps late", "metaplan's loop, two steps late", "#0b63b0", "v", 1.4, (0, (5, 1, 1, 1))),  # type: ignore[arg-type]
    Line("ours, in the graph", "metaplan's loop", "#0b63b0", "o", 2.8),
)  # fmt: skip

FEW = 2
TICKS = (-2, -1, 0, 1, 2, 5, 10, 20, 50)


def draw(results: LoopResults, folder: Path) -> list[Path]:
    """``idle.png`` in ``folder``; nothing where nothing was measured."""
    cells = results.rows["loop"]
    if not cells:
        return []
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    sizes = sorted({size for size, _, _ in cells})
    batches = sorted({batch for _, batch, _ in cells})
    shape = (len(sizes), len(batches))
    figure, panels = pyplot.subplots(
        *shape, figsize=(2.2 + 2.4 * shape[1], 1.6 + 2.7 * shape[0]), sharey=True, squeeze=False
    )
    seen: dict[str, Any] = {}
    for size, line in zip(sizes, panels, strict=True):
        for batch, axes in zip(batches, line, strict=True):
            _panel(results, size, batch, axes, seen)
        line[0].set_ylabel("GPU idle, %", color=MUTED)
    for axes in panels[-1]:
        axes.set_xlabel("host work / model's step", color=MUTED)
    figure.suptitle(
        "GPU idle in a decode loop", x=0.065, y=0.985, ha="left", fontsize=14, color=INK
    )
    order = [line.label for line in LINES if line.label in seen]
    figure.legend(
        [seen[label] for label in order],
        order,
        loc="upper left",
        bbox_to_anchor=(0.058, 1 - 0.3 / figure.get_figheight()),
        ncols=3,
        frameon=False,
        fontsize=9.5,
        labelcolor=INK,
    )
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.85 / figure.get_figheight()))
    path = folder / "idle.png"
    figure.savefig(path, dpi=140, facecolor="white")
    pyplot.close(figure)
    return [path]


def _panel(results: LoopResults, size: str, batch: int, axes: Any, seen: dict[str, Any]) -> None:
    for line in LINES:
        points = [
            (host, 100 * sides[line.side]["idle"])
            for (s, b, host), sides in sorted(results.rows["loop"].items())
            if (s, b) == (size, batch) and line.side in sides
        ]
        if points:
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
    axes.set_title(
        f"{size}, {batch} request{'s' * (batch > 1)}", loc="left", fontsize=11, color=INK
    )
    axes.set_yscale("symlog", linthresh=FEW, linscale=1.5)
    axes.set_yticks(TICKS, [str(tick) for tick in TICKS])
    axes.minorticks_off()
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=MUTED, length=0, labelsize=9)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
