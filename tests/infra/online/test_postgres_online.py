"""The PostgreSQL store's own matters: rights, connections that break, a server that is away."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from onward.core.errors import UnavailableError
from onward.core.records import Materialized, ViewPlan
from onward.infra.online.postgres import open_store
from services.postgres import Cluster

AT = datetime(2013, 6, 1, tzinfo=UTC)
VIEW = ViewPlan(name="v", version=1, table="features.v_v1", entity=("entity",), columns=("a",))
MARK = Materialized(snapshot=1, at=AT, newest=AT)


def rows(value: float, *entities: str) -> pa.Table:
    times = pa.array([AT] * len(entities), pa.timestamp("us", "UTC"))
    return pa.table({"entity": list(entities), "event_time": times, "a": [value] * len(entities)})


def test_a_connection_that_the_server_ended_is_made_anew(
    postgres: Cluster, postgres_url: str
) -> None:
    store = open_store(postgres_url, timeout_s=5.0)
    store.write(VIEW, rows(1.0, "x"), mark=MARK)
    end = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    for use in (
        lambda: store.read([(VIEW, [("x",)])]),
        lambda: store.mark(VIEW),
        lambda: store.write(VIEW, rows(2.0, "x")),
        lambda: store.remove(VIEW, [("x",)]),
    ):
        assert postgres.execute(end, postgres_url) == "t"
        assert use()
    store.close()


def test_reading_needs_no_more_than_select(postgres: Cluster, postgres_url: str) -> None:
    writer = open_store(postgres_url)
    postgres.execute(
        "CREATE ROLE gateway LOGIN; REVOKE ALL ON SCHEMA public FROM PUBLIC;"
        "GRANT USAGE ON SCHEMA public TO gateway;"
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO gateway",
        postgres_url,
    )
    reader = open_store(postgres_url.replace("postgres@", "gateway@"), timeout_s=5.0)
    assert reader.read([(VIEW, [("x",)])]) == [[None]], "there are no tables yet"
    writer.write(VIEW, rows(1.0, "x"), mark=MARK)
    [[found]] = reader.read([(VIEW, [("x",)])])
    assert found is not None
    assert found[1] == (1.0,)
    assert reader.mark(VIEW) == MARK
    reader.close()
    writer.close()


def test_a_statement_that_takes_too_long_is_given_up(postgres: Cluster, postgres_url: str) -> None:
    import psycopg

    store = open_store(postgres_url, timeout_s=0.2)
    store.write(VIEW, rows(1.0, "x"))
    with psycopg.connect(postgres_url) as holder:
        holder.execute("LOCK TABLE onward_online_features IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(UnavailableError, match="statement timeout"):
            store.read([(VIEW, [("x",)])])
        holder.rollback()
    assert store.read([(VIEW, [("x",)])])[0][0] is not None
    store.close()


def test_a_server_that_is_away_is_told_without_its_password() -> None:
    store = open_store("postgresql://reader:hunter2@127.0.0.1:1/features", timeout_s=0.2)
    with pytest.raises(UnavailableError, match=r"postgresql://127\.0\.0\.1:1/features") as caught:
        store.read([(VIEW, [("x",)])])
    assert "hunter2" not in str(caught.value)
    store.close()
