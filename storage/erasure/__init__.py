"""The one way out of the append-only ledger."""
