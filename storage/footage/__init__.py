"""What was recorded: its segments, what protects them, and what lets go of them."""
