"""Folders of evidence, and what is handed over."""
