"""Tracks for other programs."""
