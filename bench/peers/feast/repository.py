"""A Feast repository of views in Parquet files, with the DuckDB offline store."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

os.environ["FEAST_USAGE"] = "False"

from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig
from feast.types import Float64
from feast.value_type import ValueType


def repository(
    files: Sequence[str],
    features: Sequence[str],
    *,
    folder: str,
    ttl_days: int,
    online: Mapping[str, Any],
    key: ValueType,
) -> FeatureStore:
    """Return a store with the views ``v0``, ``v1``, … of the entity ``entity``, applied.

    Their rows are in `files`: columns ``entity``, ``event_time`` and `features`.
    """
    config = RepoConfig(
        project="bench", provider="local", registry=str(Path(folder) / "registry.db"),
        offline_store={"type": "duckdb"}, online_store=dict(online),
        entity_key_serialization_version=3,
    )  # fmt: skip
    store = FeatureStore(config=config)
    entity = Entity(name="entity", join_keys=["entity"], value_type=key)
    views = [
        FeatureView(
            name=f"v{number}", entities=[entity], ttl=timedelta(days=ttl_days),
            schema=[Field(name=feature, dtype=Float64) for feature in features],
            source=FileSource(name=f"s{number}", path=file, timestamp_field="event_time"),
        )
        for number, file in enumerate(files)
    ]  # fmt: skip
    store.apply([entity, *views])
    return store
