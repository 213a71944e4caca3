# pyright: basic
"""``python -m bench.ladder``: times the rungs, or with ``--check`` compares their tokens."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

from bench.ladder.checked import check
from bench.ladder.models import CONFIGS, build
from bench.ladder.rungs import ONE_CALL, RUNGS
from bench.ladder.shape import Shape
from bench.ladder.timed import time_rung
from metaplan.machine import machine, version


def main() -> int:
    asked = arguments()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    told: dict[str, Any] = {"machine": machine()}
    told["machine"]["versions"]["transformers"] = version("transformers")
    rungs = asked.rungs or list(ONE_CALL if asked.model == "llama" else RUNGS)
    if asked.check:
        failed = checked(asked, device, rungs, told)
    else:
        if device == "cpu":
            print("timing needs a GPU; --check compares the tokens anywhere", file=sys.stderr)
            return 2
        failed = timed(asked, device, rungs, told)
    write(asked.out, told)
    return failed


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.ladder", description=__doc__)
    parser.add_argument("--model", choices=CONFIGS, help="default: gpt2, tiny for --check on a CPU")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8, 32, 64, 128])
    parser.add_argument("--prompt", type=int, default=64, help="tokens of a prompt")
    parser.add_argument("--new", type=int, default=512, help="tokens generated")
    parser.add_argument("--rungs", nargs="+", choices=RUNGS, help="default: all; fewer for llama")
    parser.add_argument("--repeats", type=int, default=3, help="calls that are timed")
    parser.add_argument("--seconds", type=float, default=540, help="begin no rung after that")
    parser.add_argument("--check", action="store_true", help="compare tokens instead")
    parser.add_argument("--dtype", default="float32", help="of the weights, for --check")
    parser.add_argument("--out", type=Path, help="a JSON file, written after every rung")
    asked = parser.parse_args()
    on_cpu = not torch.cuda.is_available()
    asked.model = asked.model or ("tiny" if on_cpu and asked.check else "gpt2")
    return asked


def checked(asked: argparse.Namespace, device: str, rungs: list[str], told: dict[str, Any]) -> int:
    small = asked.model == "tiny"
    shape = Shape(4, 10 if small else 64, 40 if small else 96)
    found = check(asked.model, device, getattr(torch, asked.dtype), shape, rungs)
    told["check"] = found
    for rung, equal in found["equal"].items():
        print(f"{rung:28} equal in {equal} of {found['cases']} cases, {found['new']} new tokens")
    return int(any(equal < found["cases"] for equal in found["equal"].values()))


def timed(asked: argparse.Namespace, device: str, rungs: list[str], told: dict[str, Any]) -> int:
    until = time.perf_counter() + asked.seconds
    model = build(asked.model, device, torch.bfloat16)
    told |= {"model": asked.model, "dtype": "bfloat16", "prompt": asked.prompt, "new": asked.new}
    told["rows"], told["left_out"] = [], []
    for batch in asked.batch:
        shape = Shape(batch, asked.prompt, asked.new)
        for rung in rungs:
            if time.perf_counter() > until:
                told["left_out"].append({"rung": rung, "batch": batch})
                continue
            row = time_rung(rung, model, shape, asked.repeats, until)
            told["rows"].append(row)
            print(
                f"{batch:4} {rung:28} {row['step_us']:9.1f} us a step {row['tokens_per_second']:11.1f} tokens/s"
                f"  ({len(row['seconds'])} calls, {row['warm_up_seconds']} s to warm up)",
                flush=True,
            )
            write(asked.out, told)
            torch.cuda.empty_cache()
    if told["left_out"]:
        print(f"left out for time: {told['left_out']}")
    return 0


def write(path: Path | None, told: dict[str, Any]) -> None:
    if path is not None:
        path.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
