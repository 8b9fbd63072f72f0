"""The SQL store: models, migrations, one narrow `Store`, media. May import `reid`, `trackers`."""
