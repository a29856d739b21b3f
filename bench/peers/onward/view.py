"""A view of twenty features, and its rows as our online stores keep them."""

from __future__ import annotations

from collections.abc import Sequence

from onward.core.records import ViewPlan
from onward.infra.online.rows import encoded, key

COLUMNS = tuple(f"f{number}" for number in range(20))
VIEW = ViewPlan(
    name="bench", version=1, table="features.bench_v1", entity=("entity",), columns=COLUMNS,
    ttl_s=30 * 86_400.0,
)  # fmt: skip

__all__ = ["COLUMNS", "VIEW", "encoded", "keys_of"]


def keys_of(entities: Sequence[str]) -> list[bytes]:
    """Return the keys under which our stores keep entities."""
    return [key((entity,)) for entity in entities]
