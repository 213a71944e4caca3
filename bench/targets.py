# pyright: basic
"""What we set out to reach, each against the results: met or not, by how much, and in which cells not."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

from bench.results_of import Ratio, Results, Row, middle

COMPILED = "torch.compile, static"
WITHOUT = ("synchronizations", "device_to_host", "allocations", "pageable")


@dataclass(frozen=True, slots=True)
class Verdict:
    """One target: ``met`` is None where nothing was measured."""

    target: str
    limit: str
    measured: str
    met: bool | None
    missed: tuple[str, ...] = ()


def verdicts(results: Results) -> list[Verdict]:
    """Every target of this benchmark, in the order of the table."""
    return [judge(results) for judge in JUDGES]


def _bounded(target: str, limit: float, ratios: list[Ratio]) -> Verdict:
    """A target on a ratio that must hold in every cell."""
    said = f"<= {limit:g}"
    if not ratios:
        return Verdict(target, said, "not measured", None)
    missed = [r for r in ratios if round(r.value, 2) > limit]
    worst = max(ratios, key=lambda r: r.value)
    text = f"median {middle(ratios):.2f}, worst {worst}"
    if missed:
        text += f"; missed in {len(missed)} of {len(ratios)} cells"
    order = sorted(missed, key=lambda r: -r.value)
    return Verdict(target, said, text, not missed, tuple(str(r) for r in order))


def _launches(results: Results) -> Verdict:
    target = "launches per plan at capacity up to 1024 requests x 8 query tokens"
    found = {
        f"{key[0]}, B={key[1]}, q={key[2]}, {key[3]}": row["launches"]
        for key, row in results.rows.items()
        if key[3].startswith("ours") and key[1] <= 1024 and "launches" in row
    }
    if not found:
        return Verdict(target, "1", "not measured", None)
    missed = tuple(f"{n} ({what})" for what, n in found.items() if n > 1)
    return Verdict(target, "1", f"{max(found.values())} at most", not missed, missed)


def _nothing_waits(results: Results) -> Verdict:
    target = "syncs, copies to the host, allocations, pageable copies in a step"
    rows = {k: r for k, r in results.counts.items() if k[3].startswith("ours") and r.get("checked")}
    if not rows:
        return Verdict(target, "0, 0, 0, 0", "not measured", None)
    worst = [max(row[name] for row in rows.values()) for name in WITHOUT]
    missed = tuple(
        f"{row[name]:g} {name} ({key[0]}, {key[3]})"
        for key, row in rows.items()
        for name in WITHOUT
        if row[name]
    )
    return Verdict(target, "0, 0, 0, 0", ", ".join(f"{n:g}" for n in worst), not missed, missed)


def _bound_step(results: Results) -> Verdict:
    target = "CPU time of a bound step / the cheaper of a raw driver launch and a graph replay"
    if not results.floor:
        return Verdict(target, "<= 1.3", "not measured", None)
    ratios = [
        Ratio(cell, took, _nothing(results.floor_of(cell, "ours")))
        for cell in results.cells()
        if (took := results.value(cell, "ours", "cpu_us")) is not None
    ]
    return _bounded(f"{target} ({_nothing(results.floor):.1f} us)", 1.3, ratios)


def _nothing(floor: Row) -> float:
    """The cheaper way to launch an empty kernel."""
    return min(floor["driver_cpu_us"], floor["replay_cpu_us"])


def _from_host(results: Results) -> Verdict:
    target = "the same with host inputs / bound step + one pinned copy + writing the bytes"
    ratios: list[Ratio] = []
    for cell in results.cells():
        if (*cell, "ours from host") not in results.rows:
            continue
        copy = results.floor_of(cell, "ours from host").get("pinned_copy_cpu_us")
        took = results.value(cell, "ours from host", "cpu_us")
        write = results.value(cell, "ours from host", "cpu_us_write")
        bound = results.value(cell, "ours", "cpu_us")
        if copy is not None and took is not None and write is not None and bound is not None:
            ratios.append(Ratio(cell, took, bound + copy + write))
    return _bounded(target, 1.0, ratios)


def _numpy(results: Results) -> Verdict:
    ratios = results.ratios("numpy + H2D", "cpu_us", "ours from host")
    return _bounded("CPU time from host inputs / numpy + H2D", 0.02, ratios)


def _engine_cpu(results: Results) -> Verdict:
    ratios = results.ratios("engine", "cpu_us", "ours from host", "cpu_us_from_host")
    return _bounded("CPU time from host inputs / the engine's own builder", 0.2, ratios)


def _growth(results: Results) -> Verdict:
    """No cliff: from one batch to the next, time never grows faster than the batch does."""
    target = "growth from B=1 to 4096: time of the next batch / time of the one before, scaled"
    steps: list[Ratio] = []
    for variant in results.variants():
        for query in (1, 2, 4):
            known = [
                (b, t)
                for v, b, q in results.cells()
                if (v, q) == (variant, query) and (t := results.value((v, b, q), "ours"))
            ]
            for (b0, t0), (b1, t1) in itertools.pairwise(known):
                steps.append(Ratio((variant, b1, query), t1, t0 * b1 / b0))
    return _bounded(target, 1.0, steps)


def _compile(name: str, limit: float) -> Callable[[Results], Verdict]:
    def judge(results: Results) -> Verdict:
        target = f"{name} compile() of the largest shipped plan"
        took = {p: r[name]["compile_s"] for p, r in results.compiles.items() if name in r}
        if not took:
            return Verdict(target, f"<= {limit:g} s", "not measured", None)
        missed = tuple(f"{s:.2f} s ({plan})" for plan, s in took.items() if s > limit)
        plan = max(took, key=lambda p: took[p])
        return Verdict(
            target, f"<= {limit:g} s", f"{took[plan]:.2f} s ({plan})", not missed, missed
        )

    return judge


def _gpu(target: str, side: str, limit: float) -> Callable[[Results], Verdict]:
    return lambda results: _bounded(target, limit, results.ratios(side))


JUDGES: tuple[Callable[[Results], Verdict], ...] = (
    _launches,
    _nothing_waits,
    _bound_step,
    _from_host,
    _gpu("GPU time / one kernel fused by hand for the same outputs", "hand-fused", 1.0),
    _gpu("GPU time / vLLM's own kernels for the same outputs", "engine", 0.35),
    _gpu("GPU time / torch.compile for the same outputs", COMPILED, 0.2),
    _engine_cpu,
    _numpy,
    _growth,
    _compile("cold", 3.0),
    _compile("warm", 0.05),
)
