"""Online lookup: each store beside its engine handing out the same blobs, and beside Feast.

Each contestant fills a store of its own with the same rows and is asked for the same entities. CPU
is the asking process's; Redis's own is in the wall time alone.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench._comparison import Comparison
from bench._contest import Entrant, Outcome, contest
from bench._servers import redis_url
from bench.peers.onward.view import COLUMNS
from bench.report import Row

BATCHES = ((1, 200), (100, 10))
ENGINES = {
    "SQLite": (
        Entrant("onward", "bench.peers.onward.online:sqlite"),
        Entrant("SQLite", "bench.peers.bare.online:sqlite"),
        Entrant("SQLite, decoded", "bench.peers.bare.online:sqlite_decoded"),
        Entrant("Feast", "bench.peers.feast.online:sqlite"),
    ),
    "Redis": (
        Entrant("onward", "bench.peers.onward.online:redis"),
        Entrant("Redis", "bench.peers.bare.online:redis"),
        Entrant("Redis, decoded", "bench.peers.bare.online:redis_decoded"),
        Entrant("Feast", "bench.peers.feast.online:redis"),
    ),
}
TARGETS = {"SQLite": ">= 30", "Redis": ">= 8"}


def run(quick: bool = False) -> Sequence[Row]:
    """Look up one entity, and a hundred, of 20 features each."""
    return measure(entities=2_000, rounds=10) if quick else measure()


def measure(entities: int = 100_000, rounds: int = 100) -> Sequence[Row]:
    """Return a row for each engine, batch and other contestant."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="onward-bench-") as place, redis_url() as url:
        file = Path(place) / "rows.parquet"
        pq.write_table(table_of(entities), file)
        for engine in ENGINES if url else ("SQLite",):
            given = {"file": str(file), "features": COLUMNS, "url": url}
            rows += _measured(engine, given, Path(place) / engine, entities, rounds)
    return rows


def _measured(
    engine: str, given: Mapping[str, Any], place: Path, entities: int, rounds: int
) -> Iterator[Row]:
    chosen = random.Random(0)
    place.mkdir()
    for batch, repeat in BATCHES:
        asked = [
            [f"entity-{chosen.randrange(entities)}" for _ in range(batch)] for _ in range(repeat)
        ]
        outcomes = contest(ENGINES[engine], {**given, "asked": asked}, folder=place, rounds=rounds)
        told = Comparison(
            work=f"online lookup on {engine}, {batch} x 20 features of {entities:,} entities",
            ours="onward", limit=engine, targets={engine: "<= 1.3", "Feast": TARGETS[engine]},
            unit="us", shown=lambda seconds, repeat=repeat: 1e6 * seconds / repeat,
        )  # fmt: skip
        yield from told.rows(outcomes, unlike(outcomes, given["file"], asked[0]))


def unlike(outcomes: Mapping[str, Outcome], file: str, asked: Sequence[str]) -> dict[str, str]:
    """Say whose features differ from the entities' newest rows in `file`; ours may not."""
    table = pq.read_table(file).sort_by("event_time")
    rows = zip(*(table[name].to_pylist() for name in COLUMNS), strict=True)
    newest = dict(zip(table["entity"].to_pylist(), map(list, rows), strict=True))
    right = [newest[entity] for entity in asked]
    found = {
        name: f"wrong features of {', '.join(asked[:3])}"
        for name, outcome in outcomes.items()
        if outcome.runs and outcome["found"] != right
    }
    assert "onward" not in found, outcomes["onward"]["found"]
    return found


def table_of(entities: int, each: int = 1) -> pa.Table:
    """Return `each` rows of 20 features an hour apart, the last an hour old, of each entity."""
    draw, count = np.random.default_rng(0), entities * each
    start = datetime.now(UTC) - timedelta(hours=each)
    times = [start + timedelta(hours=number) for number in range(each) for _ in range(entities)]
    moments = pa.array(times, pa.timestamp("us", "UTC"))
    return pa.table(
        {
            "entity": [f"entity-{number}" for number in range(entities)] * each,
            "event_time": moments,
            "available_at": moments,
            **dict(zip(COLUMNS, draw.normal(size=(len(COLUMNS), count)), strict=True)),
        }
    )
