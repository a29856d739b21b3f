"""A batch judged in DuckDB alone: rules, verdicts and split, without a lake to publish to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import ibis
import pyarrow as pa

from onward.core.declarations import Check
from onward.core.records import ROW, Baseline, Batch, Partitions, RuleResult
from onward.stages.validate.opened import BATCH, PUBLISHED, Opened, beside
from onward.stages.validate.profile import profile
from onward.stages.validate.results import results
from onward.stages.validate.rules.bind import bind
from onward.stages.validate.split import split, verdicts

NOW = datetime(2024, 5, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Judged:
    """What an audit would say of each rule, by name, and what it would publish."""

    rules: Mapping[str, RuleResult]
    good: pa.Table
    quarantined: int
    profile: Mapping[str, Any]

    @property
    def offenders(self) -> dict[str, int]:
        return {name: rule.offenders for name, rule in self.rules.items()}

    @property
    def passed(self) -> dict[str, bool]:
        return {name: rule.passed for name, rule in self.rules.items()}

    @property
    def details(self) -> dict[str, str]:
        return {name: rule.detail for name, rule in self.rules.items()}


def judge(
    rows: pa.Table,
    *checks: Check,
    published: pa.Table | None = None,
    others: Mapping[str, pa.Table] | None = None,
    profiles: Sequence[Mapping[str, Any]] = (),
    at: datetime = NOW,
    mode: str = "append",
) -> Judged:
    """Judge `rows` as a batch of the dataset ``orders``."""
    batch = Batch(
        dataset="orders", table="raw.orders", branch="audit-r", run="r", mode=mode,
        partitions=Partitions(column="day", values=("t", None)) if mode == "partitions" else None,
        rows=rows.num_rows, base=None, snapshot=1, key=("n",) if mode == "upsert" else (),
    )  # fmt: skip
    baseline = Baseline(at=at, profiles=tuple(profiles))
    with _duckdb() as connection:
        tables = {BATCH: rows, **{beside(n): t for n, t in (others or {}).items()}}
        if published is not None and mode != "replace":
            tables[PUBLISHED] = published
        for name, table in tables.items():
            connection.create_table(name, table)
        numbered = connection.table(BATCH).mutate(**{ROW: ibis.row_number() + 1})
        connection.create_table(BATCH, numbered, overwrite=True)
        table = connection.table(BATCH)
        seen = Opened(connection=connection, table=table, batch=batch, baseline=baseline)
        seen, rules = bind(checks, seen, ())
        whole = verdicts(seen.table, rules)
        parted = split(connection, seen.table, rules)
        found = results(rules, parted.counts, whole, rows.num_rows)
        return Judged(
            rules={result.rule: result for result in found},
            good=parted.good.to_pyarrow(),
            quarantined=parted.total,
            profile=profile(connection.con, BATCH, seen.columns),
        )


@contextmanager
def _duckdb() -> Iterator[Any]:
    connection = ibis.duckdb.connect()
    try:
        yield connection
    finally:
        connection.disconnect()
