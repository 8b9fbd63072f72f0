"""Standing queries, their alerts, and the alerts' way out."""
