"""Materialization: the newest row of every entity from a table into each online store.

Beside Feast, and beside plain code that writes the same blobs. An empty store every time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from bench._comparison import Comparison
from bench._contest import Entrant, contest
from bench._servers import redis_url
from bench.online import table_of, unlike
from bench.peers.onward.view import COLUMNS
from bench.report import Row

EACH = 5
ASKED = 10


def run(quick: bool = False) -> Sequence[Row]:
    """Write every entity's 20 features to an empty store."""
    return measure(entities=2_000, rounds=1) if quick else measure()


def measure(entities: int = 100_000, rounds: int = 5) -> Sequence[Row]:
    """Return a row for each engine and other contestant; there are five rows of each entity."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="onward-bench-") as place, redis_url() as url:
        file, few = Path(place) / "rows.parquet", Path(place) / "few.parquet"
        pq.write_table(table_of(entities, EACH), file)
        pq.write_table(table_of(100, EACH), few)
        for engine in ("SQLite", "Redis") if url else ("SQLite",):
            rows += _measured(engine, file, few, url, entities, rounds)
    return rows


def _measured(
    engine: str, file: Path, few: Path, url: str | None, entities: int, rounds: int
) -> Iterator[Row]:
    function, hand = engine.lower(), f"{engine} by hand"
    entrants = (
        Entrant("onward", f"bench.peers.onward.materialize:{function}"),
        Entrant(hand, f"bench.peers.bare.materialize:{function}"),
        Entrant("Feast", f"bench.peers.feast.materialize:{function}"),
    )
    asked = [f"entity-{number * entities // ASKED}" for number in range(ASKED)]
    given = {"file": str(file), "url": url, "features": COLUMNS, "asked": asked}
    place = file.parent / engine
    place.mkdir()
    warm = {**given, "file": str(few), "asked": asked[:1]}
    outcomes = contest(entrants, given, warm=warm, folder=place, rounds=rounds)
    told = Comparison(
        work=f"materialize {entities:,} x 20 features of {EACH * entities:,} rows to {engine}",
        ours="onward", limit=hand, targets={}, unit="rows/s",
        shown=lambda seconds: entities / seconds,
    )  # fmt: skip
    yield from told.rows(outcomes, unlike(outcomes, str(file), asked))
