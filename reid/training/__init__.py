"""The offline trainer: one loop, its stages, losses, arms and exact resume."""
