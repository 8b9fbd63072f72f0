"""The SQL store: models, migrations, one narrow `Store`, media files. May import `reid`, `trackers`."""
