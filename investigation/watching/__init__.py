"""The watch list at work."""
