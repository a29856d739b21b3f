"""What the flow fixes for an audit: other tables, earlier batches, the time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from onward.app.load import load_definition
from onward.app.project import Project, open_project
from onward.core.clock import ReplayClock
from onward.core.errors import DataError, DeclarationError
from onward.core.records import Baseline, ValidationReport
from onward.flow.data.quarantine import replay
from onward.flow.data.stages import refresh

NOW = datetime(2026, 3, 1, tzinfo=UTC)
CUSTOMERS = """
customers = ow.Source(
    "customers",
    ow.files("data/customers/*.csv"),
    key=["customer"],
    event_time="joined_at",
    checks=[],
)
"""
CHECKS = """
        ow.references("customer", "customers.customer"),
        ow.unique("order_id"),
        ow.distribution("amount", at_most=0.3, last=2),
        ow.fresh("recorded_at", "3650d"),
        ow.check("amount is usual", _.amount < 50, severity="warn"),
"""


@pytest.fixture
def shop(shop: Path) -> Path:
    text = (shop / "pipeline.py").read_text()
    text = text.replace("    checks=[\n", f"    checks=[\n{CHECKS}", 1)
    text = text.replace("\n@ow.transform\n", f"{CUSTOMERS}\n\n@ow.transform\n")
    (shop / "pipeline.py").write_text(text)
    (shop / "data" / "customers").mkdir()
    rows = "\n".join(f"c{n},2025-01-01T00:00:00Z" for n in range(39))
    (shop / "data" / "customers" / "all.csv").write_text(f"customer,joined_at\n{rows}\n")
    return shop


class Recorder:
    """Steps that run where they stand, and are remembered by name."""

    def __init__(self) -> None:
        self.results: dict[str, Any] = {}

    def __call__(self, name: str, function: Callable[..., Any], /, *args: Any) -> Any:
        self.results[name] = function(*args)
        return self.results[name]


def refreshed(project: Project, run: str) -> Recorder:
    steps = Recorder()
    refresh(steps, project.site, project.definition, run)
    return steps


def test_a_batch_is_held_against_what_was_fixed_for_it(
    shop: Path, orders: Callable[..., Path]
) -> None:
    with open_project(shop, clock=ReplayClock(NOW)) as project:
        steps = refreshed(project, "one")
        names = list(steps.results)
        assert names.index("validate customers") < names.index("ingest orders")
        assert "baseline customers" not in names
        first: Baseline = steps.results["baseline orders"]
        assert (first.at, set(first.datasets), first.profiles) == (NOW, {"customers"}, ())
        report: ValidationReport = steps.results["validate orders"]
        found = {rule.rule: rule for rule in report.rules}
        strangers = found["customer is in customers.customer"].offenders
        assert 0 < strangers < 40
        assert [w.rule for w in report.warnings] == ["amount is usual"]
        assert report.rows_quarantined < strangers + 10 + found["amount is usual"].offenders
        [told] = project.ledger.events(kind="batch.audited", subject="raw.orders")
        assert first.datasets["customers"].ref in told.event.inputs

        orders(shop, "second", seed=1)
        second: Baseline = refreshed(project, "two").results["baseline orders"]
        assert second.profiles == (report.profile,)
        orders(shop, "third", seed=2)
        steps = refreshed(project, "three")
        assert len(steps.results["baseline orders"].profiles) == 2
        [rule] = [r for r in steps.results["validate orders"].rules if "distributed" in r.rule]
        assert rule.detail.startswith("PSI 0.")

        # Dearer by far: held, and no yardstick for those that follow.
        file = orders(shop, "fourth", seed=3)
        lines = [line.split(",") for line in file.read_text().splitlines()]
        for line in lines[1:]:
            line[4] = "500.0"
        file.write_text("\n".join(",".join(line) for line in lines) + "\n")
        steps = refreshed(project, "four")
        assert steps.results["validate orders"].held
        assert [r.rule for r in steps.results["validate orders"].broken] == [
            "amount is distributed as before"
        ]
        steps = refreshed(project, "five")
        assert steps.results["baseline orders"].profiles[0]["columns"]["amount"]["mean"] < 100


def test_rows_are_released_when_what_they_refer_to_came(shop: Path) -> None:
    with open_project(shop, clock=ReplayClock(NOW)) as project:
        report = refreshed(project, "one").results["validate orders"]
        first = project.site.lake.read("quarantine.raw_orders").to_pylist()
        strangers = [r for r in first if r["_reasons"] == ["customer is in customers.customer"]]
        assert {row["customer"] for row in strangers} == {"c39"}
        assert all(row["_source"].startswith("data/orders/first.csv:") for row in first)
        [nothing] = replay(project.site, project.definition, "orders")
        assert (nothing.released, nothing.kept) == (0, report.rows_quarantined)
        late = shop / "data" / "customers" / "late.csv"
        late.write_text("customer,joined_at\nc39,2025-06-01T00:00:00Z\n")
        refreshed(project, "two")
        [found] = replay(project.site, project.definition, "orders")
        assert found.released == len(strangers)
        assert found.kept == len(first) - len(strangers)
        # What is published keeps its key: the same row cannot come twice.
        copied = (shop / "data" / "orders" / "first.csv").read_text().splitlines()
        (shop / "data" / "orders" / "again.csv").write_text("\n".join(copied) + "\n")
        again = refreshed(project, "three").results["validate orders"]
        unique = next(r for r in again.rules if r.rule == "order_id is unique")
        assert unique.offenders == 400 - found.kept


def test_a_check_cannot_read_what_is_not_published(shop: Path) -> None:
    text = (shop / "pipeline.py").read_text()
    text = text.replace("    checks=[],", "    checks=[ow.batch_check('never', _.count() < 0)],")
    (shop / "pipeline.py").write_text(text)
    with (
        open_project(shop, clock=ReplayClock(NOW)) as project,
        pytest.raises(DataError, match="reads 'customers', of which nothing is published") as no,
    ):
        refreshed(project, "one")
    assert no.value.location is not None
    assert no.value.location.file.endswith("pipeline.py")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("customers.customer", "custommers.customer", "no source or transform 'custommers'"),
        ("customers.customer", "sold.order_id", "no source or transform 'sold'"),
        ("checks=[],", "checks=[ow.references('customer', 'orders.customer')],", "in a circle"),
        ("@ow.transform\n", "@ow.transform(checks=[ow.references('items', 'solid.items')])\n",
         "no source or transform 'solid'.*did you mean 'sold'"),
    ],
)  # fmt: skip
def test_checks_that_lead_nowhere_or_in_a_circle_are_refused(
    shop: Path, old: str, new: str, message: str
) -> None:
    file = shop / "pipeline.py"
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(DeclarationError, match=f"(?s){message}") as no:
        load_definition(file)
    assert no.value.location is not None
    assert no.value.location.file == str(file)
