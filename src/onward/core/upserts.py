"""How rows take the place of earlier ones: told in a table's state to whoever adds rows later."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

ENTRY: Final = "upsert"


def entry(key: Sequence[str], order: str | None) -> Mapping[str, str]:
    """Return the state's entry of a table that is upserted by `key`, the greatest `order` first."""
    return {ENTRY: json.dumps({"key": list(key), "order": order})}


def cleared(state: Mapping[str, str]) -> Mapping[str, str]:
    """Return the entry of a table that was upserted, and is added to from now on."""
    return {ENTRY: ""} if state.get(ENTRY) else {}


def told(state: Mapping[str, str]) -> tuple[tuple[str, ...], str | None] | None:
    """Return the key and the order of an upserted table, None for one that is added to."""
    if not state.get(ENTRY):
        return None
    stored = json.loads(state[ENTRY])
    return tuple(stored["key"]), stored["order"]
