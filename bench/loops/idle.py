# pyright: basic
"""How much of the time the GPU waits in a decode loop: published 24 % and 0.6 %, and ours, by host work.

    python -m bench.loops.idle --size 0.6b --batch 32 128 --seconds 170 --out bench/results/loops_idle.jsonl
    TRITON_INTERPRET=1 python -m bench.loops.idle --check

Every side serves the same requests with the same model, weights and cache, in one process; sides take turns, a median
of ``--repeats`` turns stands. Idle is 1 - busy / wall of a step; busy is the model's own time, measured with its graph
replayed back to back on the metadata of the middle of the run, and the prompts' share. Host work is given as a
multiple of that time. Tokens are those that requests were given: a step that runs for a row whose request is over
gives none. Tokens of all sides are compared first; a side whose tokens differ has no time.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bench import measure
from bench.loops import device
from bench.loops.blocking import Naive, Pinned
from bench.loops.device import steady_ns
from bench.loops.inside import Beside, Inside, Later
from bench.loops.model import SHAPES, Llama, Weights
from bench.loops.outside import Outside
from bench.loops.overlapped import Overlapped
from bench.loops.requests import Traffic
from bench.loops.sides import Side, Work
from bench.loops.tokens import compared, differences
from metaplan.machine import machine

BATCHES = (32, 128, 8, 256, 1)
HOST = (0.0, 1.0, 0.5, 2.0)
WARM = 16  # steps before a turn is measured
WINDOW = 0.25e6  # microseconds of GPU work that a turn of a side is measured over
LEAST, MOST = 48, 160
Row = dict[str, Any]


def sides(work: Work) -> list[Side]:
    kinds = (Naive, Pinned, Overlapped, Outside, Inside, Later, Beside)
    return [kind(work) for kind in kinds]


@dataclass(frozen=True, slots=True)
class Point:
    """A model and a batch; each host work is timed on the same loops."""

    size: str
    batch: int
    context: int
    page: int = 64
    every: int = 16
    horizon: int = 320


@dataclass(frozen=True, slots=True)
class Turn:
    """What a side took for a step, wall, in microseconds; and how many tokens of a step its requests were given."""

    wall_us: float
    tokens: float


class Table:
    """All sides of one point, ready to run."""

    def __init__(self, point: Point, weights: Weights) -> None:
        self.point = point
        traffic = Traffic(point.batch, point.context, point.every, point.horizon)
        pages = point.batch * (-(-traffic.longest // point.page) + 2) + 2
        model = Llama(
            weights, point.batch, point.page, pages, traffic.longest, traffic.prompt_tokens
        )
        self.work = Work(model, traffic, pages, weights.device)
        self.sides = sides(self.work)

    def pinned(self) -> Pinned:
        return next(side for side in self.sides if isinstance(side, Pinned))

    def run(self, side: Side, steps: int, warm: int = 0) -> Turn:
        """``steps`` of them after ``warm``.

        From the return of a step to the return of a later one, with no wait in between that is not the loop's own: one
        that has steps in flight is not stopped to be looked at.
        """
        side.start()
        took = steady_ns(side.step, steps, warm)
        side.stop()
        measure.synchronize()
        tokens = sum(len(told) for told in side.tokens.values())
        return Turn(took / steps / 1e3, tokens / (warm + steps))

    def wrong(self, steps: int) -> dict[str, list[str]]:
        """What is wrong with the tokens of each side, beside the first one's."""
        self.work.host_us = 0.0
        told = {}
        for side in self.sides:
            self.run(side, steps)
            told[side.name] = {key: list(tokens) for key, tokens in side.tokens.items()}
        first = told[self.sides[0].name]
        self.both = {name: compared(first, tokens) for name, tokens in told.items()}
        self.distinct = len({token for tokens in first.values() for token in tokens})
        return {
            name: differences(first, tokens, self.work.rows, steps) for name, tokens in told.items()
        }

    def model_us(self, steps: int) -> float:
        """GPU microseconds of the model's step in the middle of a run."""
        side = self.pinned()
        self.run(side, WARM + steps // 2)
        return device.saturated_us(side.replay)

    def prefill_us(self) -> float:
        """GPU microseconds of a step for the prompts that begin, one every few steps."""
        side, traffic = self.pinned(), self.work.traffic
        side.start()
        side.requests.schedule()
        pages = side.requests.pages(0).copy()
        prompt = traffic.prompt(0)
        took = device.saturated_us(lambda: side.prefill(prompt, pages), 20)
        return took / traffic.every

    def times(self, steps: int, repeats: int, warm: int = WARM) -> dict[str, list[Turn]]:
        """The turns of each side."""
        found: dict[str, list[Turn]] = {side.name: [] for side in self.sides}
        for _ in range(repeats):
            for side in self.sides:
                found[side.name].append(self.run(side, steps, warm))
        return found

    def close(self) -> None:
        for side in self.sides:
            side.close()
        self.sides = []


def measured(table: Table, host: list[float], repeats: int, end: float) -> Iterator[Row]:
    """Rows of one point: a row for each side and host work that there is time for."""
    point = table.point
    steps = LEAST
    wrong = table.wrong(steps)
    prefill = table.prefill_us()
    guess = table.model_us(steps)
    steps = int(min(max(WINDOW / guess, LEAST), MOST)) // 16 * 16
    head = {"size": point.size, "batch": point.batch, "context": point.context, "steps": steps}
    took = 0.0
    for multiple in host:
        if time.monotonic() + took > end:
            yield {"kind": "left", **head, "host": multiple}
            continue
        begin = time.monotonic()
        table.work.host_us = 0.0
        model = [table.model_us(steps)]
        table.work.host_us = multiple * model[0]
        times = table.times(steps, repeats)
        table.work.host_us = 0.0
        model.append(table.model_us(steps))
        busy = statistics.median(model) + prefill
        took = time.monotonic() - begin
        for name, turns in times.items():
            row = {"kind": "loop", **head, "host": multiple, "side": name}
            row |= {"checked": not wrong[name], "compared": table.both[name]}
            if wrong[name]:
                yield row | {"wrong": wrong[name][:4]}
                continue
            median = statistics.median(turn.wall_us for turn in turns)
            tokens = statistics.median(turn.tokens for turn in turns)
            yield row | {
                "host_us": round(multiple * model[0], 1),
                "model_us": [round(one, 1) for one in model],
                "prefill_us": round(prefill, 1),
                "wall_us": round(median, 1),
                "walls_us": [round(turn.wall_us, 1) for turn in turns],
                "idle": round(1 - busy / median, 4),
                "tokens": round(tokens, 3),
                "tokens_per_s": round(tokens * 1e6 / median, 1),
            }


def check() -> list[str]:
    """The same at the smallest size, on the CPU: what is wrong, nothing if all is well."""
    table = Table(Point("tiny", 3, 29, 16, every=3, horizon=40), Weights(SHAPES["tiny"], "cpu"))
    wrong = table.wrong(7)
    assert table.distinct > 6, "the model says the same whatever it is asked"
    table.work.host_us = 5.0
    table.times(1, 1, 0)
    again = table.wrong(3)  # every side starts anew
    every = [*wrong.items(), *again.items()]
    return [f"{name}: {line}" for name, lines in every for line in lines]


def run(asked: argparse.Namespace, where: str = "cuda") -> None:
    name = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    end = time.monotonic() + asked.seconds

    def write(row: Row) -> None:
        if asked.out is not None:
            with asked.out.open("a") as file:
                file.write(json.dumps({"run": name, **row}) + "\n")
        print(line(row), flush=True)

    write({"kind": "run", "bench": "loops.idle", **machine()})
    for size in asked.size:
        weights = Weights(SHAPES[size], where)
        for batch in asked.batch:
            if time.monotonic() > end:
                write({"kind": "left", "size": size, "batch": batch})
                continue
            table = Table(Point(size, batch, asked.context), weights)
            for row in measured(table, asked.host, asked.repeats, end):
                write(row)
            table.close()
            del table
            gc.collect()
            torch.cuda.empty_cache()


def line(row: Row) -> str:
    """A row for a person."""
    if row["kind"] == "run":
        return f"{row['command']}: {row['device']}"
    head = f"{row['size']:5} B={row['batch']:<4} host {row.get('host', '-')}x"
    if row["kind"] == "left":
        return f"{head}: no time left"
    if not row["checked"]:
        return f"{head} {row['side']:24} WRONG {row['wrong'][0]}"
    return (
        f"{head} {row['side']:24} wall {row['wall_us']:9.1f} us, model {row['model_us'][0]:9.1f} us,"
        f" idle {100 * row['idle']:5.1f} %, {row['tokens_per_s']} tokens/s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", nargs="+", choices=tuple(SHAPES), default=("0.6b", "8b"))
    parser.add_argument("--batch", nargs="+", type=int, default=BATCHES)
    parser.add_argument("--host", nargs="+", type=float, default=HOST, help="x the model's step")
    parser.add_argument("--context", type=int, default=2048, help="tokens of a prompt")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=170, help="for everything")
    parser.add_argument("--out", type=Path, help="a JSON line for each row is appended")
    parser.add_argument("--check", action="store_true", help="correctness only, on the CPU")
    asked = parser.parse_args()
    torch.set_grad_enabled(False)
    if asked.check:
        if wrong := check():
            raise SystemExit("\n".join(wrong))
        print("every side gives its requests the same tokens")
        return
    run(asked)


if __name__ == "__main__":
    main()
