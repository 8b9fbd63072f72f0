"""QPM as a torch module: trunk, part branch, attention, configuration and model files."""
