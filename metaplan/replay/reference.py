"""What the plans' buffers must hold after each step of a replay, by the oracles' array form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from metaplan.replay.oracles import buffers, oracles
from metaplan.replay.settings import Settings

if TYPE_CHECKING:
    from tests.oracles import EngineStep, Expected, Mismatch, PagedDecode, V4Decode

Array = NDArray[Any]
Buffers = dict[str, Array]
PLANS = ("paged_decode", "engine_step", "v4_decode")


class Reference:
    """Expected buffers by plan; it mirrors what the buffers held, for the cells that keep.

    ``form`` is "vec" (fast) or "loop" (one element at a time). The mirror starts with
    ``oracles.buffers.SENTINEL`` in every cell; fill the plan's own buffers with the same.
    """

    def __init__(self, settings: Settings, form: str = "vec") -> None:
        self.settings, self.form = settings, form
        self.paged = paged_plan(settings)
        self.engine = engine_plan(settings)
        self.v4 = v4_plan(settings)
        self.before: dict[str, Buffers] = {
            "paged_decode": buffers().paged_buffers(
                self.paged, **capacities(settings)["paged_decode"]
            ),
            "engine_step": buffers().engine_buffers(
                self.engine,
                settings.max_requests,
                settings.max_tokens,
                {g: settings.columns(group) for g, group in enumerate(settings.groups)},
            ),
            "v4_decode": buffers().v4_buffers(self.v4, settings.max_requests),
        }

    def expect(
        self, plan: str, inputs: Mapping[str, Any], before: Mapping[str, Array] | None = None
    ) -> Expected:
        """Buffers of ``plan`` after ``inputs``; ``before`` is the mirror unless it is given."""
        geometry = {"paged_decode": self.paged, "engine_step": self.engine, "v4_decode": self.v4}
        oracle: Callable[..., Expected] = getattr(oracles(), f"{self.form}_{plan}")
        mirror = self.before[plan]
        expected = oracle(geometry[plan], inputs, mirror if before is None else before)
        for name, value in expected.values.items():
            if value.shape == mirror[name].shape:
                mirror[name] = value
            else:
                mirror[name][: len(value)] = value
        return expected

    def expect_post_update(
        self, inputs: Mapping[str, Any], tables: Mapping[str, Array]
    ) -> Expected:
        """The state tables after sampling; ``tables`` are left as they are."""
        names = ["num_computed_tokens", "last_sampled_tokens", "total_len", "all_token_ids"]
        names += ["draft_tokens"] if self.settings.drafts else []
        oracle: Callable[..., Expected] = getattr(oracles(), f"{self.form}_post_update")
        return oracle(inputs, {name: tables[name] for name in names})

    def compare(self, expected: Expected, actual: Mapping[str, Array]) -> list[Mismatch]:
        """One mismatch for each output that differs from what is specified of it."""
        found: list[Mismatch] = oracles().compare(expected, actual)
        return found


def capacities(settings: Settings) -> dict[str, dict[str, int]]:
    """Capacities of each plan's axes, by the names that ``compile`` takes."""
    req, tok = settings.max_requests, settings.max_requests * settings.query_len
    pages = {f"page_{g}": settings.columns(group) for g, group in enumerate(settings.groups)}
    return {
        "paged_decode": {"req": req, "tok": tok, "page_col": settings.columns(settings.groups[0])},
        "engine_step": {"req": req, "tok": settings.max_tokens, **pages},
        "v4_decode": {"req": req, "tok": tok, "block": settings.columns(settings.all_groups[-1])},
    }


def paged_plan(settings: Settings) -> PagedDecode:
    """The geometry of paged_decode."""
    plan: PagedDecode = oracles().PagedDecode(
        settings.groups[0].page, settings.window, settings.ring
    )
    return plan


def engine_plan(settings: Settings) -> EngineStep:
    """The geometry of engine_step."""
    groups = tuple(oracles().Group(group.page, group.reach) for group in settings.groups)
    plan: EngineStep = oracles().EngineStep(groups, settings.drafts)
    return plan


def v4_plan(settings: Settings) -> V4Decode:
    """The geometry of v4_decode: its configuration and its row space."""
    config = oracles().Config(
        k=settings.drafts,
        W=settings.window,
        block=settings.block,
        index_topk=settings.index_topk,
        max_bs=settings.max_requests,
        max_model_len=settings.max_model_len,
        layer_ratios=settings.layer_ratios,
    )
    pool = oracles().Pool(
        settings.layer_ratios,
        settings.num_pages(settings.all_groups[-1]),
        2 * settings.max_requests,
        config.R,
        settings.block,
    )
    plan: V4Decode = oracles().V4Decode(config, pool)
    return plan
