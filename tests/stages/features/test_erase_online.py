"""A subject's rows leave the online store, also those of views that nobody declares any more."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from onward.core.ports import OnlineStore
from onward.core.records import Subject, ViewPlan
from onward.infra.lake.iceberg import IcebergLake, open_lake
from onward.infra.online.sqlite import open_store
from onward.stages.features.erase import erase_online
from onward.stages.features.versions import state

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ADA = Subject(columns=("customer",), values=frozenset({"7"}))


def published(lake: IcebergLake, online: OnlineStore, name: str, *entity: str) -> ViewPlan:
    rows = pa.table(
        {
            "shop": ["a", "b", "a"],
            "customer": [7, 7, 8],
            "event_time": [NOON] * 3,
            "available_at": [NOON] * 3,
            "spent": [1.0, 2.0, 3.0],
        }
    )
    plan = ViewPlan(
        name=name, version=2, table=f"features.{name}_v2", entity=entity, columns=("spent",)
    )
    said = state(
        entity=entity, code="c", definition="d", inputs="", marked=True, known_by=NOON, at=NOON
    )
    lake.append(plan.table, rows, key="1", state=said)
    online.write(plan, rows)
    return plan


@pytest.mark.parametrize(
    ("entity", "hers", "others"),
    [
        (("customer",), [(7,)], [(8,)]),
        (("customer", "shop"), [(7, "a"), (7, "b")], [(8, "a")]),
        (("spent",), [(1.0,), (2.0,)], [(3.0,)]),  # she is a feature of it
    ],
)
def test_her_rows_are_removed(
    entity: tuple[str, ...], hers: list[tuple], others: list[tuple], tmp_path: Path
) -> None:
    lake, online = open_lake(tmp_path / "lake"), open_store(str(tmp_path / "online.db"))
    plan = published(lake, online, "habits", *entity)
    assert erase_online(ADA, lake=lake, online=online, dry_run=True) == len(hers)
    [[*before]] = online.read([(plan, [*hers, *others])])
    assert None not in before
    assert erase_online(ADA, lake=lake, online=online) == len(hers)
    [[*after]] = online.read([(plan, [*hers, *others])])
    assert after == [*[None] * len(hers), *before[len(hers) :]]
    online.close()


def test_views_that_do_not_have_the_column_are_passed_over(tmp_path: Path) -> None:
    lake, online = open_lake(tmp_path / "lake"), open_store(str(tmp_path / "online.db"))
    published(lake, online, "habits", "shop")
    assert (
        erase_online(Subject(columns=("buyer",), values=frozenset({"7"})), lake=lake, online=online)
        == 0
    )
    online.close()
