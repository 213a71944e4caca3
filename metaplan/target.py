"""The GPUs that kernels are compiled for, and what the schedule needs to know of each."""

from __future__ import annotations

from dataclasses import dataclass

from metaplan import catalogue


@dataclass(frozen=True, slots=True)
class Target:
    """An architecture: ``processors`` multiprocessors (or compute units), ``lanes`` threads a warp."""

    backend: str
    arch: str
    lanes: int
    processors: int

    @property
    def name(self) -> str:
        return f"{self.backend}:{self.arch}"

    @property
    def dependent(self) -> bool:
        """Whether a kernel may be launched before the one in front of it is done, and wait inside."""
        return self.backend == "cuda" and int(self.arch) >= 90


TARGETS: dict[str, Target] = {
    t.name: t
    for t in (
        Target("cuda", "80", 32, 108),
        Target("cuda", "90", 32, 132),
        Target("cuda", "100", 32, 148),
        Target("hip", "gfx942", 64, 304),
        Target("hip", "gfx950", 64, 256),
    )
}

DEFAULT = TARGETS["cuda:90"]


def target(name: str) -> Target:
    """The target called ``name``; an error that lists them all otherwise."""
    if name not in TARGETS:
        raise catalogue.unknown_target(name, TARGETS)
    return TARGETS[name]
