# pyright: basic
"""The traces of both loops of bench/loops, and their picture; needs a GPU.

    python -m bench.audit_trace [--out bench/results/audit] [--picture docs/figures/audit.png]

Each loop runs in a process of its own under ``metaplan audit``, first ten steps left out.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

LOOPS = Path(__file__).parent / "loops"
SKIP, STEPS = 10, 8


def audit(*words: str | Path) -> str:
    """What ``metaplan audit`` prints; ends with its exit code where it fails."""
    line = [sys.executable, "-m", "metaplan", "audit", *map(str, words)]
    done = subprocess.run(line, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        print(done.stdout)
        sys.exit(done.returncode)
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("bench/results/audit"))
    parser.add_argument("--picture", type=Path, default=Path("docs/figures/audit.png"))
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    traces = [asked.out / f"{name}.json.gz" for name in ("waiting", "ahead")]
    for trace in traces:
        script = LOOPS / trace.name.replace(".json.gz", ".py")
        told = audit(script, "--skip", str(SKIP), "--steps", str(STEPS), "--save", trace)
        print(told.partition("\n")[0])  # what the loop itself printed: equal checksums
    print(audit(traces[0], "--against", traces[1], "--picture", asked.picture))


if __name__ == "__main__":
    main()
