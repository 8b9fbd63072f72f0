"""Who may sign in: people, camera groups, sessions, tokens."""
