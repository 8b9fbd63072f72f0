"""Single-camera trackers, tracklets and the cross-camera matcher. May import `reid` only."""
