"""Search by example: from a photo to hits with their evidence."""
