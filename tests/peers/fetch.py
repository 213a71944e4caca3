"""The sources of engines, from their wheels on the package index: ``fetch.py vllm==0.33.0 ...``.

Only the files below KEEP are unpacked, into .engines/<name>-<version>/, which goes on PYTHONPATH; the wheel itself
(hundreds of MB, its compiled parts useless here) is deleted. What is there already is not fetched again.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ENGINES = Path(__file__).parents[2] / ".engines"
KEEP = (
    "vllm/v1/",
    "vllm/utils/",
    "vllm/triton_utils/",
    "vllm/models/",
    "vllm/model_executor/",
    "vllm/third_party/",
    "sglang/",
    "flashinfer/data/include/flashinfer/",
)
SUFFIXES = (".py", ".cuh", ".h")
DOWNLOAD = ("download", "-qq", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:")


def fetch(requirement: str) -> Path:
    """The folder to put on PYTHONPATH; raises where the wheel cannot be had."""
    place = ENGINES / requirement.replace("==", "-")
    if place.is_dir():
        return place
    print(f"fetching {requirement} from the package index, sources only, once", flush=True)
    ENGINES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ENGINES) as made:
        command = [sys.executable, "-m", "pip", *DOWNLOAD, "-d", made, requirement]
        subprocess.run(command, check=True)
        (wheel,) = Path(made).glob("*.whl")
        sources = Path(made) / "sources"
        with zipfile.ZipFile(wheel) as archive:
            names = [n for n in archive.namelist() if n.startswith(KEEP) and n.endswith(SUFFIXES)]
            archive.extractall(sources, names)
        assert names, f"{wheel.name} has no sources below {KEEP}"
        sources.replace(place)
    return place


if __name__ == "__main__":
    try:
        for requirement in sys.argv[1:]:
            fetch(requirement)
    except subprocess.CalledProcessError as error:
        sys.exit(f"tests/peers: {sys.argv[1:]} could not be fetched (pip exit {error.returncode})")
