# pyright: basic
"""Soak: an hour of real traffic through the decode loop, every request's tokens beside a plain loop's.

    python -m bench.soak TRACE.csv [--device cpu] [--rows 64] [--lag 2] [--drafts 0] [--paging host|device] [--requests N] [--seconds T] --out FILE

The model is the smallest that notices a wrong cache: a token is the position-weighted sum of all numbers in a request's
pages. Requests arrive in the order of the trace, as fast as they fit; prompts and answers have the trace's lengths. At
the end, and on the way every ``--every`` steps: the host's bounds against the device's truth, the flags, the pages, the
memory of the process and of the device.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import resource
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

import metaplan as mp
from metaplan.cli.progress import tracked
from metaplan.machine import machine
from metaplan.replay import Trace, read
from tests.loop.models import Memory, plain, prefill

WORDS = 997


@dataclass(slots=True)
class Soak:
    """A trace through a loop; ``wrong`` collects what must not happen."""

    loop: mp.Loop
    model: Memory
    trace: Trace
    words: int
    checked: int = 0
    tokens: int = 0
    worst: int = 0
    wrong: list[str] = field(default_factory=list)
    _out: dict[int, list[Any]] = field(default_factory=dict)

    def run(self, requests: int, seconds: float, every: int) -> dict[str, Any]:
        start, waiting = time.perf_counter(), deque(range(requests))
        first_memory, last_memory, cut = None, None, False
        for step in tracked(range(1 << 40), "steps", None):
            while waiting and not cut and self._fits(waiting[0]):
                self._admit(waiting.popleft())
            if not self.loop.busy:
                break
            for request, tokens, ended in self.loop.step():
                self._out[request.key] += tokens
                if ended:
                    self._judge(request.key)
            if step % every == 0:
                self._truth(step)
                if lost := self._lost():
                    self.wrong.append(f"step {step}: {lost} pages are lost, or had by two")
                last_memory = memory(self.loop.device)
                first_memory = first_memory or (last_memory if step >= 3 * every else None)
            cut = cut or time.perf_counter() - start > seconds
        self._end()
        return {
            "steps": self.loop.launched,
            "requests": self.checked,
            "of": len(self.trace),
            "cut_short": cut,
            "tokens": self.tokens,
            "bound_above_truth_at_most": self.worst,
            "bound_may_be": self.loop.bounds.slack,
            "flags": self.loop.flags(),
            "memory_early": first_memory,
            "memory_late": last_memory,
            "seconds": round(time.perf_counter() - start, 1),
            "wrong": len(self.wrong),
            "first_wrong": self.wrong[:5],
        }

    def _lengths(self, key: int) -> tuple[int, int]:
        """Tokens of the prompt, and of the answer behind its first."""
        return int(self.trace.context[key]), max(int(self.trace.generated[key]) - 1, 1)

    def _fits(self, key: int) -> bool:
        return self.loop.fits(*self._lengths(key))

    def _prompt(self, key: int) -> list[int]:
        return np.random.default_rng(key).integers(0, self.words, self._lengths(key)[0]).tolist()

    def _admit(self, key: int) -> None:
        length, most = self._lengths(key)
        blank = torch.zeros(1, dtype=torch.int64, device=self.loop.device)
        request = self.loop.admit(length=length, token=blank, most=most, key=key)
        token = prefill(self.model, request, self._prompt(key))
        self.loop.state.last_tokens[request.row : request.row + 1].copy_(token)
        self._out[key] = [token.clone()]

    def _judge(self, key: int) -> None:
        got = [int(token) for token in self._out.pop(key)]
        if got != plain(self._prompt(key), self._lengths(key)[1] + 1, words=self.words):
            self.wrong.append(f"request {key}: other tokens than the plain loop's")
        self.checked += 1
        self.tokens += len(got)

    def _truth(self, step: int) -> None:
        """The device's lengths between the host's bounds; waits for the device."""
        live = np.flatnonzero(self.loop.host.live)
        true = self.loop.state.lengths.cpu().numpy()[live]
        ended = true >= self.loop.state.limits.cpu().numpy()[live]
        over = (self.loop.host.upper[live] - true)[~ended]
        if over.size and (over.min() < 0 or over.max() > self.loop.bounds.slack):
            self.wrong.append(
                f"step {step}: the bound is {over.min()} to {over.max()} above the truth"
            )
        self.worst = max(self.worst, int(over.max(initial=0)))

    def _end(self) -> None:
        if self._out:
            self.wrong.append(f"requests {sorted(self._out)[:5]} never ended")
        if (left := self.loop.pool.pages - 1 - self.loop.pool.free) != 0:
            self.wrong.append(f"{left} pages never came back")
        if (lost := self._lost()) != 0:
            self.wrong.append(f"{lost} pages of the device are lost, or had by two")
        if flags := self.loop.flags():
            self.wrong.append(f"flags: {flags}")

    def _lost(self) -> int:
        """Pages that are neither free nor a row's on the device, or both; waits for the device."""
        held = self.loop.free_pages
        if held is None:
            return 0
        counts = (self.loop.state.reserved // self.loop.settings.page).tolist()
        seen = np.zeros(self.loop.pool.pages, np.int64)
        np.add.at(seen, held.stack[: int(held.here.free)].cpu().numpy(), 1)
        for row, count in enumerate(counts):
            np.add.at(seen, self.loop.state.block_table[row, :count].cpu().numpy(), 1)
        return int((seen[1:] != 1).sum())


def memory(device: torch.device) -> dict[str, int]:
    """Bytes that the process and torch's allocator hold, what nobody uses given back first."""
    gc.collect()
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    held = {"process_bytes": pages * resource.getpagesize()}
    if device.type == "cuda":
        held["device_bytes"] = torch.cuda.memory_allocated()
    return held


def main() -> None:
    asked = _arguments()
    trace = read(asked.trace)
    longest = int((trace.context + np.maximum(trace.generated, 2)).max()) + 1
    pages = asked.rows * (-(-longest // asked.page)) // 2 + 1
    words = 3 if asked.drafts else WORDS
    loop = mp.Loop(
        rows=asked.rows,
        page=asked.page,
        pages=pages,
        longest=longest,
        drafts=asked.drafts,
        lag=asked.lag,
        paging=asked.paging,
        vocabulary=words,
        device=asked.device,
    )
    model = Memory(
        pages=pages, page=asked.page, device=asked.device, words=words, drafts=asked.drafts
    )
    loop.capture(model, drafted=asked.drafts > 0)
    soak = Soak(loop, model, trace, words)
    made = soak.run(min(asked.requests, len(trace)), asked.seconds, asked.every)
    told = {
        "trace": trace.name,
        "rows": asked.rows,
        "lag": asked.lag,
        "drafts": asked.drafts,
        "paging": asked.paging,
        **made,
        "machine": machine(),
    }
    text = json.dumps(told, indent=1)
    print(text)
    if asked.out:
        asked.out.write_text(text + "\n")
    if soak.wrong:
        raise SystemExit(1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("trace", type=Path)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--page", type=int, default=16)
    parser.add_argument("--lag", type=int, default=2)
    parser.add_argument("--drafts", type=int, default=0)
    parser.add_argument("--paging", choices=("host", "device"), default="host")
    parser.add_argument("--requests", type=int, default=1 << 40)
    parser.add_argument("--seconds", type=float, default=1e9)
    parser.add_argument("--every", type=int, default=500)
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
