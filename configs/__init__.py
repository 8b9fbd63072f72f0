"""YAML that a person edits, shipped as package data."""
