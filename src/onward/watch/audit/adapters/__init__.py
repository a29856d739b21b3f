"""The ledger's stores."""
