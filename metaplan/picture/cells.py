"""A sheet of small labelled cells: all that the picture is made of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metaplan.errors import MetaplanError

INK = "#1b1f24"
SOFT = "#6a737d"
LINE = "#b7bec6"
TAIL = "#eceef1"
STEM = "#c2185b"
FILLS = ("#a6cee9", "#f9d48a", "#a9dcc3", "#e2b6d6", "#f4b59b", "#c5c9f0")
MONO = "DejaVu Sans Mono"


class NoMatplotlib(MetaplanError):
    """The picture needs matplotlib, which the package itself does not."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A canvas measured in cells, y downwards; ``axes`` is matplotlib's."""

    figure: Any
    axes: Any

    @staticmethod
    def new(width: float, height: float, inches_per_cell: float) -> Sheet:
        """An empty sheet of ``width`` x ``height`` cells."""
        try:
            from matplotlib.backends.backend_agg import FigureCanvasAgg
            from matplotlib.figure import Figure
        except ImportError as error:
            raise NoMatplotlib(
                "matplotlib is not installed, so there is no picture",
                hint="pip install 'metaplan[demo]'",
            ) from error
        size = (width * inches_per_cell, height * inches_per_cell)
        figure: Any = Figure(figsize=size, facecolor="white")
        FigureCanvasAgg(figure)
        axes: Any = figure.add_axes((0, 0, 1, 1))
        axes.set_xlim(0, width)
        axes.set_ylim(height, 0)
        axes.axis("off")
        return Sheet(figure, axes)

    def cell(self, x: float, y: float, text: object, fill: str) -> None:
        """One live value."""
        self._box(x, y, fill, None)
        self.text(x + 0.5, y + 0.5, str(text), size=10, align="center", mono=True)

    def tail(self, x: float, y: float, text: object = "") -> None:
        """One value beyond the live part."""
        self._box(x, y, TAIL, "////")
        self.text(x + 0.5, y + 0.5, str(text), size=10, align="center", mono=True, color=SOFT)

    def outline(self, x: float, y: float, width: float = 1, height: float = 1) -> None:
        """Marks the cells of the token that the reader follows."""
        self._patch(x, y, width, height, fc="none", ec=STEM, lw=2.4, zorder=5)

    def written(self, x: float, y: float) -> None:
        """Marks a cell that this step writes."""
        self._patch(x + 0.07, y + 0.07, 0.86, 0.86, fc="none", ec=INK, lw=1.7, zorder=4)

    def block(self, x: float, y: float, width: float, height: float, fill: str) -> None:
        """A plain rectangle."""
        self._patch(x, y, width, height, fc=fill, ec="none", lw=0)

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        size: float = 10,
        align: str = "left",
        mono: bool = False,
        bold: bool = False,
        color: str = INK,
    ) -> None:
        """Words whose middle line is at ``y``."""
        font = {"family": MONO} if mono else {}
        weight = "bold" if bold else "normal"
        self.axes.text(
            x, y, words, fontsize=size, ha=align, va="center", color=color, weight=weight, **font
        )

    def line(self, x: float, y: float, x1: float, y1: float, color: str = INK) -> None:
        """A thin straight line."""
        self.axes.plot((x, x1), (y, y1), color=color, lw=1.1, zorder=3)

    def save(self, path: Path) -> None:
        """Writes a PNG, whole or not at all."""
        made = path.with_name(f".{path.name}.png")
        try:
            self.figure.savefig(made, dpi=120)
            made.replace(path)
        finally:
            made.unlink(missing_ok=True)

    def _box(self, x: float, y: float, fill: str, hatch: str | None) -> None:
        self._patch(x, y, 1, 1, fc=fill, ec=LINE if hatch else "white", lw=0.8, hatch=hatch)

    def _patch(self, x: float, y: float, width: float, height: float, **style: Any) -> None:
        from matplotlib.patches import Rectangle

        self.axes.add_patch(Rectangle((x, y), width, height, **style))
