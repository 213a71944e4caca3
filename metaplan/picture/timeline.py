"""A few steps on the host and on the GPU, one trace above the other on one scale of time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from metaplan.auditing.calls import is_allocation, is_graph_launch, is_launch, is_wait
from metaplan.auditing.report import Report
from metaplan.auditing.steps import Step, launched
from metaplan.auditing.trace import Call, Trace, Work
from metaplan.picture.cells import INK, LINE, SOFT, Sheet

FEW = 3
LEFT, WIDTH, HEAD, LANE = 6.6, 44.0, 2.6, 1.5
THREADS, STREAMS = 3, 6
WAITING, OTHER = "#d3302f", "#c3c8ce"
SHADES = ("#2b6cb0", "#63a4dd", "#2f855a", "#7bc49a")
"""A step's launches and its work on the GPU have one colour; the next step has the next."""


@dataclass(frozen=True, slots=True)
class Block:
    """A rectangle on a lane, in us since the start of the window."""

    start: float
    end: float
    fill: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One trace: its words, its lanes by name, and where its steps begin (us, number)."""

    title: str
    words: str
    lanes: tuple[tuple[str, tuple[Block, ...]], ...]
    marks: tuple[tuple[float, int], ...]

    @property
    def height(self) -> float:
        return HEAD + LANE * len(self.lanes) + 1.4


def timeline(audited: Sequence[tuple[Trace, Report]], path: Path, few: int = FEW) -> Path:
    """Writes a PNG at ``path``: about ``few`` steps of each trace; raises NoMatplotlib without it."""
    window = max(span(trace, report.steps, few) for trace, report in audited)
    panels = [panel(trace, report, window) for trace, report in audited]
    sheet = Sheet.new(LEFT + WIDTH + 1.6, sum(p.height for p in panels) + 3.2, 0.3)
    at = 0.6
    for one in panels:
        _draw(sheet, at, one, window)
        at += one.height
    _scale(sheet, at, window)
    _legend(sheet, at + 1.7)
    sheet.save(path)
    return path


def span(trace: Trace, steps: Sequence[Step], few: int) -> float:
    """How long the last ``few`` steps took, on the host or on the GPU."""
    kept = steps[-few:]
    works = [work for some in launched(kept, trace) for work in some]
    on_gpu = max((w.end for w in works), default=0.0) - min((w.start for w in works), default=0.0)
    return max(on_gpu, kept[-1].end - kept[0].start)


def panel(trace: Trace, report: Report, window: float) -> Panel:
    """The last steps of ``trace`` that fill ``window`` us of the host, or all of them."""
    steps = report.steps
    fitting = [step.start for step in steps if step.start + window <= steps[-1].end]
    first = fitting[-1] if fitting else steps[0].start
    starts = [step.start for step in steps]
    shade = _shades(trace, steps)
    lanes: dict[str, list[Block]] = {}
    for call in trace.calls:
        if call.end >= first and call.start <= first + window and call.thread >= 0:
            fill = _called(call, SHADES[max(bisect_right(starts, call.start) - 1, 0) % len(SHADES)])
            lanes.setdefault(f"thread {call.thread}", []).append(
                Block(call.start - first, call.end - first, fill)
            )
    host = sorted(lanes.items(), key=lambda lane: -len(lane[1]))[:THREADS]
    device: dict[str, list[Block]] = {}
    for work in trace.works:
        if work.end >= first and work.start <= first + window:
            fill = WAITING if "Pageable" in work.name else shade.get(work, OTHER)
            device.setdefault(f"GPU {work.device} stream {work.stream}", []).append(
                Block(work.start - first, work.end - first, fill)
            )
    busiest = sorted(device.items(), key=lambda lane: -len(lane[1]))[:STREAMS]
    named = [("host" if not at else f"host {at}", blocks) for at, (_, blocks) in enumerate(host)]
    kept = ((name, tuple(merged(blocks, window))) for name, blocks in (*named, *sorted(busiest)))
    marks = tuple(
        (step.start - first, number)
        for number, step in enumerate(steps)
        if first <= step.start <= first + window
    )
    return Panel(report.name, _words(report), tuple(kept), marks)


def merged(blocks: Iterable[Block], window: float) -> Iterator[Block]:
    """Neighbours of one colour as one block, where their gap would be thinner than a hair."""
    hair, last = window / 3000, None
    for block in sorted(blocks, key=lambda block: block.start):
        if last and last.fill == block.fill and block.start - last.end < hair:
            last = Block(last.start, max(last.end, block.end), last.fill)
            continue
        if last:
            yield last
        last = block
    if last:
        yield last


def _shades(trace: Trace, steps: Sequence[Step]) -> dict[Work, str]:
    return {
        work: SHADES[at % len(SHADES)]
        for at, works in enumerate(launched(steps, trace))
        for work in works
    }


def _called(call: Call, shade: str) -> str:
    if is_wait(call.name) or is_allocation(call.name):
        return WAITING
    return shade if is_launch(call.name) or is_graph_launch(call.name) else OTHER


def _words(report: Report) -> str:
    each = report.a_step()
    told = [
        f"a step: {report.step_us:,.0f} us of the host, {report.gpu_us:,.0f} us of the GPU",
        f"launches: {each['launches'] + each['graph_launches']:.3g}",
        f"waits: {each['waits']:.3g}",
    ]
    told += [f"GPU idle {one.share:.0%}" for one in report.idle[:1]]
    if report.lead:
        told.append(f"run-ahead {report.lead.run_ahead:.0%}")
    return ",  ".join(told)


def _draw(sheet: Sheet, y: float, one: Panel, window: float) -> None:
    sheet.text(0.6, y + 0.4, one.title, size=12, bold=True)
    sheet.text(0.6, y + 1.3, one.words, size=9.5, color=SOFT)
    top, bottom = y + HEAD, y + HEAD + LANE * len(one.lanes)
    free = 0.0
    for at, number in one.marks:
        x = LEFT + WIDTH * at / window
        sheet.line(x, top - 0.2, x, bottom, color=LINE)
        if x >= free:
            sheet.text(x + 0.15, top - 0.35, f"step {number}", size=7.5, color=SOFT)
            free = x + 2.4
    for row, (name, blocks) in enumerate(one.lanes):
        lane = top + LANE * row
        sheet.text(LEFT - 0.3, lane + 0.65, name, size=9, align="right", color=INK)
        for block in blocks:
            start, end = max(block.start, 0.0), min(block.end, window)
            width = max(WIDTH * (end - start) / window, 0.03)
            sheet.block(LEFT + WIDTH * start / window, lane + 0.15, width, LANE - 0.5, block.fill)


def _scale(sheet: Sheet, y: float, window: float) -> None:
    size = next(n * 10**k for k in range(12) for n in (1, 2, 5) if window / (n * 10**k) <= 8)
    sheet.line(LEFT, y, LEFT + WIDTH, y, color=SOFT)
    for at in range(int(window // size) + 1):
        x = LEFT + WIDTH * at * size / window
        sheet.line(x, y, x, y + 0.25, color=SOFT)
        sheet.text(x, y + 0.7, f"{at * size:,} us", size=8, align="center", color=SOFT)


def _legend(sheet: Sheet, y: float) -> None:
    told = (
        (WAITING, "the host waits or allocates; pageable copies"),
        (SHADES[0], "launches, and what they run: a colour a step"),
        (OTHER, "other calls, work of other steps"),
    )
    x = LEFT
    for fill, words in told:
        sheet.block(x, y - 0.3, 0.9, 0.6, fill)
        sheet.text(x + 1.2, y, words, size=8.5, color=SOFT)
        x += 1.8 + 0.34 * len(words)
