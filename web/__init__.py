"""The web room: API and pages for a person at a desk. Asks `investigation` and `storage`."""
