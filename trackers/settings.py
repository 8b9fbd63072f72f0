"""Settings of the `trackers` room: the single-camera tracker and the cross-camera matcher."""

from __future__ import annotations

from pydantic import Field

from reid.settings import StrictModel


class TrackerSettings(StrictModel):
    """The single-camera tracker."""


class MatchingSettings(StrictModel):
    """The cross-camera matcher."""

    enabled: bool = Field(
        default=True, title="Matching", description="Link tracks over cameras to identities."
    )
