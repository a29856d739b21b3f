"""The limit: what somebody who knows DuckDB well writes by hand, and no more."""
