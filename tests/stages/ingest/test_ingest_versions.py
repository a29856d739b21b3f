"""Rows that change at their source: ties, late commits, upserts, and what is read again."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from ibis import _
from mortal import Crash, Mortal

import onward as ow
from onward.core import upserts
from onward.core.clock import SystemClock
from onward.core.errors import DeclarationError
from onward.infra.lake.iceberg import IcebergLake, open_lake
from onward.stages.ingest.adapters.sql import SqlReader
from onward.stages.ingest.port import Surroundings
from onward.stages.ingest.step import ingest, pending
from onward.stages.validate.quarantine.table import table_of
from onward.stages.validate.step import audit, settle

Row = tuple[int, int, float]


class Shop:
    """A table of a shop, and what Onward has of it."""

    def __init__(self, folder: Path, **declared: Any) -> None:
        self.folder = folder
        self.lake: IcebergLake = open_lake(folder / "lake")
        self.database = sqlite3.connect(folder / "shop.db", isolation_level=None)
        self.database.execute("CREATE TABLE things (id INTEGER, seen INTEGER, x REAL, at TEXT)")
        self.source = ow.Source(
            "things",
            ow.sql("sqlite:///shop.db", "things", cursor="seen", **declared),
            key="id",
            event_time="at",
            checks=[ow.check("x is positive", _.x > 0)],
        )
        self.reader = SqlReader(Surroundings(folder=folder))
        self.runs = 0

    def add(self, *rows: Row) -> None:
        values = [(*row, "2024-01-01") for row in rows]
        self.database.executemany("INSERT INTO things VALUES (?, ?, ?, ?)", values)

    def put(self, *rows: Row) -> None:
        self.database.executemany("DELETE FROM things WHERE id = ?", [row[:1] for row in rows])
        self.add(*rows)

    def pending(self) -> bool:
        return pending(self.source, reader=self.reader, lake=self.lake)

    def take(self, lake: Any = None) -> int | None:
        """Ingest and audit once; return how many rows came, None without any."""
        lake = lake or self.lake
        self.runs += 1
        settle(self.source.table, lake=lake)
        batch = ingest(
            self.source,
            reader=self.reader,
            lake=lake,
            run=f"r{self.runs}",
            quarantine=table_of(self.source.table),
        )
        if batch is None:
            return None
        checks, required = self.source.checks, self.source.key
        audit(batch, checks, lake=lake, clock=SystemClock(), required=required)
        return batch.rows

    def stored(self, snapshot: int | None = None, table: str = "raw.things") -> list[Row]:
        rows = self.lake.read(table, snapshot=snapshot).to_pylist()
        return sorted((r["id"], r["seen"], r["x"]) for r in rows)


@pytest.fixture
def shop(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Shop]:
    shop = Shop(tmp_path, **request.param)
    with closing(shop.database):
        yield shop


@pytest.mark.parametrize("shop", [{}], indirect=True)
def test_rows_that_tie_with_the_last_one_are_not_lost(shop: Shop) -> None:
    shop.add((1, 10, 1.0))
    assert shop.take() == 1
    assert not shop.pending()
    shop.add((2, 10, 2.0), (3, 9, 3.0))  # committed later; the second is out of reach
    assert shop.pending()
    assert shop.take() == 1
    assert not shop.pending()
    assert shop.take() is None
    assert shop.stored() == [(1, 10, 1.0), (2, 10, 2.0)]
    assert shop.lake.head("raw.things", "audit-r3") is None


@pytest.mark.parametrize("shop", [{"lag": 5}], indirect=True)
def test_rows_that_are_committed_late_are_taken_within_the_lag(shop: Shop) -> None:
    shop.add((1, 3, 1.0), (2, 10, 2.0))
    assert shop.take() == 2
    shop.add((3, 5, 3.0), (4, 4, 4.0))
    assert shop.take() == 1
    assert not shop.pending()
    shop.add((5, 20, 5.0))
    shop.database.execute("DELETE FROM things WHERE id = 2")
    assert shop.take() == 1
    assert shop.stored() == [(1, 3, 1.0), (2, 10, 2.0), (3, 5, 3.0), (5, 20, 5.0)]


@pytest.mark.parametrize("shop", [{"lag": 5, "mode": "upsert"}], indirect=True)
def test_offenders_are_quarantined_once(shop: Shop) -> None:
    shop.add((1, 10, 1.0), (2, 10, -2.0))
    assert shop.take() == 2
    assert not shop.pending()
    assert shop.take() is None
    shop.put((3, 11, 3.0))
    assert shop.take() == 1
    assert shop.stored(table="quarantine.raw_things") == [(2, 10, -2.0)]
    shop.put((1, 12, -1.0), (2, 12, 2.0))  # a bad version of a good row, a good one of a bad row
    assert shop.take() == 2
    assert shop.stored() == [(1, 10, 1.0), (2, 12, 2.0), (3, 11, 3.0)]
    assert shop.stored(table="quarantine.raw_things") == [(1, 12, -1.0), (2, 10, -2.0)]


@pytest.mark.parametrize("shop", [{"mode": "upsert"}], indirect=True)
def test_a_changed_row_takes_the_place_of_the_one_before(shop: Shop) -> None:
    shop.put((1, 1, 1.0), (2, 1, 2.0))
    shop.take()
    before = shop.lake.dataset("raw.things").snapshot
    shop.put((2, 2, 2.5))
    assert shop.pending()
    assert shop.take() == 1
    assert shop.stored() == [(1, 1, 1.0), (2, 2, 2.5)]
    assert shop.stored(before) == [(1, 1, 1.0), (2, 1, 2.0)]
    assert not shop.pending()


@pytest.mark.parametrize("shop", [{"mode": "upsert", "lag": 5}], indirect=True)
def test_versions_that_come_after_their_successors_are_passed_over(shop: Shop) -> None:
    shop.add((1, 10, 1.0))
    shop.take()
    shop.add((1, 9, 2.0))
    assert shop.pending()
    assert shop.take() is None
    assert not shop.pending()
    assert shop.stored() == [(1, 10, 1.0)]


@pytest.mark.parametrize("shop", [{}], indirect=True)
def test_appended_versions_are_all_kept(shop: Shop) -> None:
    shop.put((1, 1, 1.0))
    shop.take()
    shop.put((1, 2, 2.0))
    shop.take()
    assert shop.stored() == [(1, 1, 1.0), (1, 2, 2.0)]


@pytest.mark.parametrize("shop", [{"lag": "1m"}], indirect=True)
def test_a_lag_of_another_kind_is_refused(shop: Shop) -> None:
    shop.add((1, 1, 1.0))
    with pytest.raises(DeclarationError, match="has a lag of") as no:
        shop.take()
    assert no.value.location is not None


def test_another_lag_takes_effect_at_once(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    with closing(shop.database):
        shop.add((1, 10, 1.0))
        shop.take()
        shop.source = ow.Source(
            "things", ow.sql("sqlite:///shop.db", "things", cursor="seen", lag=5),
            key="id", event_time="at",
        )  # fmt: skip
        shop.add((2, 8, 2.0))
        assert shop.pending()
        assert shop.take() == 1
        assert not shop.pending()
        assert [row[0] for row in shop.stored()] == [1, 2]


def test_a_table_that_is_added_to_again_says_so(tmp_path: Path) -> None:
    shop = Shop(tmp_path, mode="upsert")
    with closing(shop.database):
        shop.add((1, 1, 1.0))
        shop.take()
        assert upserts.told(shop.lake.head("raw.things").state) == (("id",), "seen")
        shop.source = ow.Source(
            "things", ow.sql("sqlite:///shop.db", "things", cursor="seen"), key="id",
            event_time="at",
        )  # fmt: skip
        shop.add((1, 2, 2.0))
        shop.take()
        assert upserts.told(shop.lake.head("raw.things").state) is None
        assert len(shop.stored()) == 2


def test_columns_that_are_added_widened_and_renamed_are_followed(tmp_path: Path) -> None:
    def things(key: str, cursor: str, **changes: Any) -> ow.Source:
        origin = ow.sql("sqlite:///shop.db", "things", cursor=cursor, mode="upsert", lag=2)
        return ow.Source(
            "things", origin, key=key, event_time="at", on_schema_change="evolve", **changes
        )

    shop = Shop(tmp_path)
    with closing(shop.database):
        shop.source = things("id", "seen")
        shop.add((1, 1, 1), (2, 1, 1))
        shop.database.execute("ALTER TABLE things DROP COLUMN x")
        shop.database.execute("ALTER TABLE things ADD COLUMN x DEFAULT 1")
        assert shop.take() == 2
        shop.database.execute("ALTER TABLE things ADD COLUMN note TEXT")
        shop.database.execute("UPDATE things SET note = 'new', seen = 2, x = 2.5 WHERE id = 1")
        assert shop.take() == 1
        assert shop.stored() == [(1, 2, 2.5), (2, 1, 1.0)]
        shop.source = things("key", "changed", renamed={"key": "id", "changed": "seen"})
        shop.database.execute("ALTER TABLE things RENAME COLUMN seen TO changed")
        shop.database.execute("ALTER TABLE things RENAME COLUMN id TO key")
        shop.database.execute("UPDATE things SET note = 'later', changed = 3 WHERE key = 2")
        assert shop.take() == 1
        assert not shop.pending()
        rows = shop.lake.read("raw.things").to_pylist()
        assert sorted((r["key"], r["changed"], r["x"], r["note"]) for r in rows) == [
            (1, 2, 2.5, "new"),
            (2, 3, 1.0, "later"),
        ]


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"mode": "upset"}, "did you mean 'upsert'"),
        ({"lag": -1}, "lag"),
        ({"lag": "x"}, "duration"),
    ],
)
def test_a_wrong_declaration_is_refused_where_it_stands(declared: Any, words: str) -> None:
    with pytest.raises(DeclarationError) as no:
        ow.sql("sqlite:///shop.db", "things", cursor="seen", **declared)
    assert words in str(no.value)
    assert no.value.location is not None
    assert no.value.location.file == __file__


@pytest.mark.parametrize(("mode", "after"), [("append", True), ("upsert", False)])
def test_a_run_that_dies_anywhere_loses_and_doubles_nothing(
    tmp_path: Path, mode: str, after: bool
) -> None:
    shop = Shop(tmp_path, lag=5, mode=mode)
    versions: list[Row] = []
    with closing(shop.database):
        for effect in range(1, 8):  # more than a run has: the last ones live
            new = [(1, 10 + effect, float(effect)), (2, 8 + effect, 2.0), (3, 9 + effect, -1.0)]
            versions += new
            shop.add(*new)
            with suppress(Crash):
                shop.take(Mortal(shop.lake, effect, after))
        shop.take()
        assert not shop.pending()
        assert shop.take() is None
        good = sorted(row for row in versions if row[2] > 0)
        last = [max(row for row in good if row[0] == key) for key in (1, 2)]
        assert shop.stored() == (good if mode == "append" else last)
        quarantined = shop.stored(table="quarantine.raw_things")
        assert quarantined == sorted(row for row in versions if row[2] < 0)


LAG = 4
changes = st.lists(
    st.lists(  # what is committed before a run: (id, how long before the newest, x)
        st.tuples(st.integers(1, 5), st.integers(-1, LAG), st.sampled_from([-1.0, 1.0, 2.0])),
        max_size=4,
    ),
    min_size=1,
    max_size=4,
)


@settings(
    max_examples=8,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
@given(happened=changes, mode=st.sampled_from(["append", "upsert"]))
def test_any_order_of_commits_within_the_lag_gives_every_version_once(
    happened: list[list[tuple[int, int, float]]], mode: str
) -> None:
    newest, versions = 100, {}
    with TemporaryDirectory() as folder:
        shop = Shop(Path(folder), lag=LAG, mode=mode)
        with closing(shop.database):
            for committed in happened:
                before = newest
                for key, back, x in committed:
                    seen = before - back  # never further behind the last read than the lag
                    if (key, seen) not in versions:
                        versions[key, seen] = x
                        shop.add((key, seen, x))
                    newest = max(newest, seen)
                shop.take()
                assert not shop.pending()
                assert shop.take() is None
        good = [(*version, x) for version, x in versions.items() if x > 0]
        bad = [(*version, x) for version, x in versions.items() if x <= 0]
        tables, held = shop.lake.tables(), "quarantine.raw_things"
        quarantined = shop.stored(table=held) if held in tables else []
        if mode == "upsert":  # an offender that a later version had replaced may go unseen
            good = [row for row in good if row[1] == max(g[1] for g in good if g[0] == row[0])]
            later = [row for row in bad if any(g[0] == row[0] and g[1] > row[1] for g in good)]
            bad = [row for row in bad if row in quarantined or row not in later]
        assert (shop.stored() if "raw.things" in tables else []) == sorted(good)
        assert quarantined == sorted(bad)
