"""People ask the store questions here: search, watch list, replay, cases, reports."""
