"""What a host that reads counts late may know: bounds that follow from K and the lag alone.

A step verifies K drafts and one more token, so that 1 to K + 1 tokens of a live row hold. The host has read the counts
of all but the last ``lag`` steps. It adds K + 1 for each of those; the truth added at least 1. Hence, at a launch:

    true <= upper <= true + lag * K

and the step that is launched writes K + 1 tokens behind the true length, so that pages for ``upper + K + 1`` tokens are
enough, which is at most ``lag * K + K + 1`` beyond the true length. Both bounds are reached: by rows whose drafts are
all accepted, and by rows of which none is.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bounds:
    """The bounds of a loop with ``drafts`` draft tokens a step whose host is ``lag`` steps behind.

    ``ahead``: how many steps are prepared before they are launched; each needs room of its own.
    """

    drafts: int
    lag: int
    ahead: int = 0

    @property
    def queries(self) -> int:
        """Tokens that a step may add to a row: K + 1."""
        return self.drafts + 1

    @property
    def slack(self) -> int:
        """How far the host's upper bound may lie above the true length at a launch: lag * K."""
        return self.lag * self.drafts

    @property
    def reach(self) -> int:
        """Tokens beyond the host's upper bound for which a launch needs pages: K + 1 a step that is prepared."""
        return self.queries * (1 + self.ahead)

    @property
    def room(self) -> int:
        """Tokens beyond the true length for which a launch needs pages at most: lag * K + K + 1, without steps ahead."""
        return self.slack + self.reach
