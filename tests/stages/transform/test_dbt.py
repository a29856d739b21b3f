"""A dbt project as a step: its models become tables, its tests judge them. Real dbt."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onward.app.project import open_project
from onward.core.errors import DataError, DeclarationError
from onward.flow.outcome import RunOutcome
from onward.flow.pipeline.graph import graph
from onward.flow.run.runs import request
from onward.stages.transform.adapters.dbt import DbtCommand
from onward.stages.transform.config import DbtProject
from onward.stages.transform.port import Manifest

DBT = Path(__file__).parents[3] / ".venv-dbt" / "bin" / "dbt"

pytestmark = pytest.mark.skipif(
    not DBT.exists() and "CI" not in os.environ, reason="`make test` installs dbt into .venv-dbt"
)

FILES = {
    "dbt_project.yml": "name: shop\nprofile: not_ours\nmodels: {shop: {+materialized: table}}\n",
    "seeds/bands.csv": "band,least\nsmall,0\nlarge,20\n",
    "models/sources.yml": """
sources:
  - name: shop
    database: elsewhere
    schema: landing
    tables: [{name: orders, identifier: raw_orders}]
  - name: onward
    schema: main
    tables: [{name: sold}]
""",
    "models/positive.sql": "{{ config(materialized='ephemeral') }}\n"
    "select * from {{ source('shop', 'orders') }} where amount > {{ var('least', 0) }}\n",
    "models/staging/stg_orders.sql": "{{ config(materialized='view', tags=['staging']) }}\n"
    "select order_id, ordered_at, customer, amount, items from {{ ref('positive') }}\n",
    "models/banded.sql": "select s.order_id, max(b.least) as band, count(*) as n\n"
    "from {{ ref('stg_orders') }} s join {{ ref('bands') }} b on s.amount >= b.least group by 1\n",
    "models/items.sql": "select sum(items) as items from {{ source('onward', 'sold') }}\n",
    "models/schema.yml": """
models:
  - name: stg_orders
    columns:
      - {name: order_id, data_tests: [unique, not_null]}
  - name: banded
    columns:
      - name: n
        data_tests:
          - accepted_values: {arguments: {values: [1]}, config: {severity: warn}}
""",
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, shops: Callable[[Path], Path]) -> Path:
    """A shop with a dbt project, its sources and tables taken in once."""
    folder = shops(tmp_path_factory.mktemp("dbt") / "shop")
    for name, text in FILES.items():
        (folder / "dbt" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "dbt" / name).write_text(text)
    declared = (
        'dbt = ow.dbt("dbt", checks={"banded": [ow.check("known band", _.band.isin([0, 20]))]})'
    )
    file = folder / "pipeline.py"
    file.write_text(file.read_text().replace("\n\npipeline =", f"\n\n{declared}\n\npipeline ="))
    with (folder / "onward.toml").open("a") as settings:
        settings.write(f'[transform]\ndbt = "{DBT}"\n')
    first = refreshed(folder)
    assert first.state == "refreshed"
    rules = {rule.rule: rule for report in first.audits for rule in report.rules}
    warned = rules["dbt: accepted_values_banded_n__1"]
    assert (warned.passed, warned.severity) == (False, "warn")
    assert rules["dbt: not_null_stg_orders_order_id"].passed
    assert rules["known band"].passed
    return folder


def refreshed(folder: Path) -> RunOutcome:
    with open_project(folder) as project:
        return project.deliver(request(project.site, "data only", train=False))


def rows(folder: Path, table: str) -> list[dict[str, Any]]:
    with open_project(folder) as project:
        found: list[dict[str, Any]] = project.site.lake.read(table).to_pylist()
        return found


def test_its_models_are_tables_with_what_they_read(shop: Path) -> None:
    with open_project(shop) as project:
        nodes = {node.name: node for node in graph(project.definition)}
    assert nodes["stg_orders"].reads == ("source:orders",)
    assert nodes["stg_orders"].tags == ("staging",)
    assert nodes["banded"].reads == ("transform:stg_orders",)
    assert nodes["items"].reads == ("transform:sold",)
    assert "positive" not in nodes
    orders = rows(shop, "raw.orders")
    [items] = rows(shop, "derived.items")
    assert items == {"items": float(sum(order["items"] for order in orders))}
    banded = rows(shop, "derived.banded")
    assert len(banded) == len(orders)
    large = sum(order["amount"] >= 20 for order in orders)
    assert sum(row["band"] == 20 for row in banded) == large


def test_its_manifest_feeds_lineage_and_nothing_is_built_twice(shop: Path) -> None:
    again = refreshed(shop)
    assert again.audits == ()
    with open_project(shop) as project:
        [built] = [
            t.event for t in project.ledger.events(kind="table.built")
            if t.event.subject == "derived.banded"
        ]  # fmt: skip
        assert built.inputs == (project.site.lake.dataset("raw.orders").ref,)


def test_a_failed_test_holds_its_table_and_what_reads_it_stays(
    shop: Path, orders: Callable[..., Path]
) -> None:
    before = rows(shop, "derived.stg_orders")
    file = shop / "dbt" / "models" / "staging" / "stg_orders.sql"
    text = file.read_text()
    file.write_text(f"{text} union all select * from (from {{{{ source('shop', 'orders') }}}} "
                    "select order_id, ordered_at, customer, amount, items limit 1)\n")  # fmt: skip
    held = refreshed(shop)
    assert (held.state, "unique_stg_orders_order_id" in held.reason) == ("held", True)
    reports = {report.dataset: report for report in held.audits}
    assert "banded" not in reports
    assert reports["stg_orders"].held
    assert rows(shop, "derived.stg_orders") == before
    file.write_text(text)
    mended = refreshed(shop)
    assert (mended.state, [a.dataset for a in mended.audits]) == ("refreshed", ["items"])


def test_a_model_that_fails_is_named_at_its_file(shop: Path) -> None:
    file = shop / "dbt" / "models" / "items.sql"
    text = file.read_text()
    file.write_text(text.replace("sum(items)", "sum(itms)"))
    with pytest.raises(DataError, match=r'(?s)model items failed.*"itms" not found') as no:
        refreshed(shop)
    assert no.value.location is not None
    assert no.value.location.file == str(file)
    assert not (shop / ".onward" / "dbt" / "dbt" / "scratch").exists()
    file.write_text(text)


def test_a_manifest_is_kept_until_a_file_changes(shop: Path) -> None:
    project = DbtProject(folder="dbt", vars={}, checks={})
    nowhere = DbtCommand("no-such-dbt", folder=shop, state=shop / ".onward" / "dbt")
    found = nowhere.manifest(project)
    assert isinstance(found, Manifest)
    assert [model.name for model in found.models].index("banded") > 0
    (shop / "dbt" / "models" / "more.sql").write_text("select 1 as one")
    with pytest.raises(DeclarationError, match=r"(?s)no command 'no-such-dbt'.*\.venv-dbt"):
        nowhere.manifest(project)
    (shop / "dbt" / "models" / "more.sql").write_text("select {{ nothing(")
    real = DbtCommand(str(DBT), folder=shop, state=shop / ".onward" / "dbt")
    with pytest.raises(DeclarationError, match=r"(?s)dbt refuses dbt: .*more\.sql"):
        real.manifest(project)
    (shop / "dbt" / "models" / "more.sql").unlink()
