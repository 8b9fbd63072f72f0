"""Why two crops look alike: quality scores, attention maps, shares of the distance."""
