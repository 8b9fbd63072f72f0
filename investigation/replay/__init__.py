"""Where somebody went, and the footage of it."""
