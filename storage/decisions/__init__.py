"""What people decided: rows beside the ledger, and what they say of the threshold."""
