"""Those who hear events: audit, lineage, cost, access."""
