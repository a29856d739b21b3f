"""Feast's online stores, asked by name as its documentation has it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench._entrant import Found, Given, timed


def sqlite(given: Given) -> Iterator[Found]:
    return _answers(given, {"type": "sqlite", "path": str(Path(given["folder"]) / "online.db")})


def redis(given: Given) -> Iterator[Found]:
    return _answers(given, {"type": "redis", "connection_string": address(given["url"])})


def _answers(given: Given, online: dict[str, Any]) -> Iterator[Found]:
    import pandas as pd

    store = opened(given, online)
    store.write_to_online_store("v0", pd.read_parquet(given["file"]))
    names = [f"v0:{feature}" for feature in given["features"]]
    asked = [[{"entity": entity} for entity in some] for some in given["asked"]]
    while True:
        with timed() as took:
            found = [store.get_online_features(names, some).to_dict() for some in asked]
        yield took | {"found": rows_of(found[0], given)}


def rows_of(answer: dict[str, list[Any]], given: Given) -> list[list[Any]]:
    """Return an answer's features, entity by entity."""
    rows = zip(*(answer[feature] for feature in given["features"]), strict=True)
    return [list(row) for row in rows]


def opened(given: Given, online: dict[str, Any]) -> Any:
    """Return a Feast store whose one view has its rows in the given file."""
    from feast.value_type import ValueType

    from bench.peers.feast.repository import repository

    return repository(
        [given["file"]], given["features"], folder=given["folder"], ttl_days=30, online=online,
        key=ValueType.STRING,
    )  # fmt: skip


def address(url: str) -> str:
    """Return a Redis server as Feast wants it told."""
    return url.removeprefix("redis://").partition("/")[0]
