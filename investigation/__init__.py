"""People ask the store questions here: reports now; search and replay later."""
