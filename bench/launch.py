"""What it costs to start a bound kernel, and to bring host inputs along, in every way there is.

    python bench/launch.py [--out results.json]

CPU us: median host time of a call in short loops that never fill the launch queue. GPU us: time of
one of many calls queued behind a sleep, between two events, so that the host is no bottleneck.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from ctypes import c_uint, c_void_p
from functools import partial
from pathlib import Path
from typing import Any

import numpy
import torch
import triton
import triton.language as tl

from metaplan.runtime import driver as drivers
from metaplan.runtime.compiled import Kernel, compile_kernel, this_target
from metaplan.runtime.driver import Copy
from metaplan.runtime.graphs import Replay
from metaplan.runtime.launch import Launch, Sequence, Staged
from metaplan.runtime.layout import Field
from metaplan.runtime.movers import Driver, Torch
from metaplan.runtime.pull import Pull
from metaplan.runtime.staging import Ring
from metaplan.runtime.streams import raw_stream

LOOP, REPEATS, QUEUED = 100, 30, 200
DEVICE = torch.device("cuda", 0)


@triton.jit
def consume(out, values, n, BLOCK: tl.constexpr):
    """Every program sums all staged values, as a plan's programs sum the rows before theirs."""
    row = tl.arange(0, BLOCK)
    total = tl.sum(tl.load(values + row, mask=row < n, other=0), 0)
    tl.store(out + tl.program_id(0), total)


class Reused:
    """Never waits for a slot: all steps write the same values, so a small ring serves long queues."""

    def done(self, group: int) -> bool:
        super().done(group)  # pyright: ignore[reportAttributeAccessIssue]
        return True


class ReusedTorch(Reused, Torch):
    pass


class ReusedDriver(Reused, Driver):
    pass


class ReusedPull(Reused, Pull):
    pass


def cpu_us(call: Callable[[], Any]) -> float:
    """Median over short loops, after a warm-up, with the queue emptied in between."""
    for _ in range(LOOP):
        call()
    torch.cuda.synchronize()
    times: list[float] = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        for _ in range(LOOP):
            call()
        times.append((time.perf_counter() - start) / LOOP * 1e6)
        torch.cuda.synchronize()
    return statistics.median(times)


def gpu_us(call: Callable[[], Any]) -> float:
    """Device time of a call among many in a row."""
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    times: list[float] = []
    for _ in range(5):
        torch.cuda.synchronize()
        torch.cuda._sleep(20_000_000)
        first.record()
        for _ in range(QUEUED):
            call()
        last.record()
        torch.cuda.synchronize()
        times.append(first.elapsed_time(last) * 1e3 / QUEUED)
    return statistics.median(times)


def python_ns(call: Callable[[], Any]) -> float:
    """Median time of a call that queues nothing, in ns."""
    times: list[float] = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        for _ in range(1000):
            call()
        times.append((time.perf_counter() - start) * 1e6)
    return statistics.median(times)


def with_arguments(count: int, folder: Path) -> tuple[Any, dict[str, str]]:
    """A kernel of ``count`` pointers that writes one word through the first."""
    names = [f"a{i}" for i in range(count)]
    text = "import triton\nimport triton.language as tl\n\n\n@triton.jit\n"
    text += f"def touch{count}({', '.join(names)}):\n    tl.store(a0, 1)\n"
    path = folder / f"touch{count}.py"
    path.write_text(text)
    found = importlib.util.spec_from_file_location(path.stem, path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return getattr(module, f"touch{count}"), dict.fromkeys(names, "*i32")


def raw_call(kernel: Kernel, sequence: Sequence) -> Callable[[], Any]:
    """cuLaunchKernel itself, its eleven arguments prepared: the floor of TARGETS."""
    loaded = drivers.load()
    assert loaded is not None
    entry = sequence._way.entries[0]
    stream = c_void_p(raw_stream()(0))
    one = c_uint(1)
    return partial(
        loaded.library.cuLaunchKernel,
        *(c_void_p(entry.function), one, one, one, c_uint(kernel.threads), one, one),
        *(c_uint(0), stream, entry.packed.pointers, None),
    )


def launches(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for count in (4, 16, 32):
        fn, types = with_arguments(count, folder)
        kernel = compile_kernel(fn, types, {}, target=this_target(DEVICE), num_warps=1)
        tensors = {name: torch.zeros(64, dtype=torch.int32, device=DEVICE) for name in types}
        bound = (Launch(kernel, 1, tensors),)
        made = {way: Sequence(bound, DEVICE, way=way) for way in ("driver", "graph", "triton")}
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            made["driver"].record()
        values = list(tensors.values())
        runner = kernel.binary[1, 1, 1]
        calls: dict[str, Callable[[], Any]] = {
            "triton JIT": lambda f=fn, v=values: f[1,](*v),
            "triton CompiledKernel[grid]": lambda r=runner, v=values: r(*v),
            "way triton": made["triton"].launch,
            "cuLaunchKernel, nothing else": raw_call(kernel, made["driver"]),
            "way driver": made["driver"].launch,
            "torch CUDAGraph.replay": graph.replay,
            "way graph": made["graph"].launch,
        }
        for name, call in calls.items():
            rows.append(
                {"what": name, "arguments": count, "cpu_us": cpu_us(call), "gpu_us": gpu_us(call)}
            )
    small = torch.zeros(64, dtype=torch.int32, device=DEVICE)
    pinned = torch.zeros(1024, dtype=torch.uint8, pin_memory=True)
    block = torch.zeros(1024, dtype=torch.uint8, device=DEVICE)
    for name, call in {
        "one torch op": lambda: small.add_(1),
        "torch copy_ of pinned 1 KB": lambda: block.copy_(pinned, non_blocking=True),
    }.items():
        rows.append({"what": name, "arguments": 0, "cpu_us": cpu_us(call), "gpu_us": gpu_us(call)})
    return rows


def staging(words: int) -> list[dict[str, Any]]:
    """Every way to bring ``words`` int32 along with one kernel of 8 programs."""
    types = {"out": "*i32", "values": "*i32", "n": "i32"}
    block = triton.next_power_of_2(words)
    kernel = compile_kernel(consume, types, {"BLOCK": block}, target=this_target(DEVICE))
    host = numpy.arange(words, dtype=numpy.int32)
    out = torch.zeros(8, dtype=torch.int32, device=DEVICE)
    calls: dict[str, Callable[[], Any]] = {}

    def ring(mover: Any, group: int) -> Ring:
        made = partial(mover, device=DEVICE)
        return Ring((Field("values", "i32", (words,)),), made, lag=2, group=group)

    def consumer(values: Any) -> Launch:
        return Launch(kernel, 8, {"out": out, "values": values, "n": words})

    def written(one: Ring, run: Callable[[], Any]) -> Callable[[], None]:
        def step() -> None:
            one.begin()["values"][:] = host
            run()

        return step

    resident = torch.from_numpy(host).to(DEVICE)
    for way in ("driver", "graph"):
        calls[f"no staging, {way}"] = Sequence((consumer(resident),), DEVICE, way=way).launch
    for mover, way, group in (
        (ReusedTorch, "driver", 4),
        *((ReusedDriver, way, group) for way in ("driver", "graph") for group in (1, 4, 8, 16)),
        *((ReusedPull, way, 8) for way in ("driver", "graph")),
    ):
        one = ring(mover, group)
        sequence = Sequence((consumer(Staged("values")),), DEVICE, ring=one, way=way)
        label = f"{mover.__name__.removeprefix('Reused')}, way {way}, event every {group}"
        calls[label] = written(one, sequence.launch)
    one = ring(ReusedDriver, 8)
    steps = [
        Sequence((consumer(address),), DEVICE, way="graph").launch
        for address in one.mover.addresses
    ]

    def read_in_place(stream: int = raw_stream()(0)) -> None:
        steps[one.slot]()
        one.advance(stream)

    calls["read in place, way graph, event every 8"] = written(one, read_in_place)
    rows: list[dict[str, Any]] = []
    for name, call in calls.items():
        rows.append(
            {"what": name, "bytes": 4 * words, "cpu_us": cpu_us(call), "gpu_us": gpu_us(call)}
        )
        out.zero_()
        call()
        assert out.tolist() == [int(host.sum())] * 8, name
    return rows


def copies() -> list[dict[str, Any]]:
    """One pinned copy of growing size: a driver call, a graph's node, and a fetching kernel."""
    rows: list[dict[str, Any]] = []
    loaded, stream = drivers.load(), raw_stream()(0)
    assert loaded is not None
    launch_graph = loaded.launch_graph
    for size in (256, 1024, 2048, 4096, 8192, 12288, 16384, 24576, 32768, 65536, 262144):
        copy, fetch = (kind(8, size, 2, device=DEVICE) for kind in (Driver, Pull))
        fronts = [Copy.to_device(copy.base, source, size) for source in copy.addresses]
        replay = Replay(loaded, loaded.context(DEVICE), (), fronts)
        turn = itertools.cycle(range(8))

        def call(copy: Any = copy, turn: Any = turn) -> None:
            copy.copy(next(turn), stream)

        def node(replay: Replay = replay, turn: Any = turn) -> None:
            launch_graph(replay.ready[next(turn)], stream)

        row: dict[str, Any] = {"bytes": size}
        for name, one in (
            ("copy", call),
            ("node", node),
            ("fetch", partial(call, copy=fetch)),
        ):
            row |= {f"{name} cpu_us": cpu_us(one), f"{name} gpu_us": gpu_us(one)}
        rows.append(row)
    return rows


def pieces() -> list[dict[str, Any]]:
    """What the parts of a step cost on the host, in ns."""
    loaded = drivers.load()
    assert loaded is not None
    tensor = torch.zeros(64, dtype=torch.int32, device=DEVICE)
    event, current = loaded.event(), raw_stream()
    stream = current(0)
    loaded.record(event, stream)
    torch.cuda.synchronize()
    ring = Ring((Field("a", "i32", (256,)),), partial(Driver, device=DEVICE), lag=2)
    view = ring.begin()["a"]
    array = numpy.arange(200, dtype=numpy.int32)
    fn, types = consume, {"out": "*i32", "values": "*i32", "n": "i32"}
    kernel = compile_kernel(fn, types, {"BLOCK": 64}, target=this_target(DEVICE))
    bound = (Launch(kernel, 1, {"out": tensor, "values": tensor, "n": 64}),)
    driver, graph = (Sequence(bound, DEVICE, way=way) for way in ("driver", "graph"))

    def write_array() -> None:
        view[:200] = array

    def write_int() -> None:
        view[0] = 7

    def changed() -> None:
        graph.rebind("n", 64)
        graph._way.replay.refresh(0)

    calls: dict[str, Callable[[], Any]] = {
        "current stream, raw": lambda: current(0),
        "current stream, torch": lambda: torch.cuda.current_stream().cuda_stream,
        "is the stream capturing, torch": torch.cuda.is_current_stream_capturing,
        "event record": lambda: loaded.record(event, stream),
        "event query": lambda: loaded.query(event),
        "tensor.data_ptr()": tensor.data_ptr,
        "write 200 words": write_array,
        "write one word": write_int,
        "rebind, driver": lambda: driver.rebind("n", 64),
        "poke, driver": lambda: driver.poke("n", 64),
        "rebind and refresh, graph": changed,
    }
    return [{"what": name, "ns": python_ns(call)} for name, call in calls.items()]


def table(rows: list[dict[str, Any]]) -> str:
    names = list(rows[0])
    cells = [[_cell(row[name]) for name in names] for row in rows]
    widths = [max(len(row[i]) for row in [names, *cells]) for i in range(len(names))]
    return "\n".join(
        "  ".join(
            cell.ljust(w) if not i else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in [names, *cells]
    )


def _cell(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _rounded(value: Any) -> Any:
    match value:
        case float():
            return round(value, 2)
        case dict():
            return {name: _rounded(one) for name, one in value.items()}
        case list():
            return [_rounded(one) for one in value]
        case _:
            return value


def main() -> None:
    parser = argparse.ArgumentParser(description="What a bound launch and staged inputs cost.")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    if not torch.cuda.is_available() or drivers.load() is None:
        raise SystemExit("bench/launch.py needs a CUDA GPU")
    with tempfile.TemporaryDirectory() as folder:
        results: dict[str, Any] = {
            "command": "python bench/launch.py",
            "machine": f"{torch.cuda.get_device_name(DEVICE)}, {platform.processor()}",
            "versions": {"torch": torch.__version__, "triton": triton.__version__},
            "launches": launches(Path(folder)),
            "staging": [row for words in (256, 1024, 4096, 16384) for row in staging(words)],
            "copies": copies(),
            "pieces": pieces(),
        }
    for part in ("launches", "staging", "copies", "pieces"):
        print(f"\n{part}\n{table(results[part])}")
    if asked.out is not None:
        asked.out.write_text(json.dumps(_rounded(results), indent=1) + "\n")


if __name__ == "__main__":
    main()
