"""The guide to checks: its code, put into a project and run."""

from __future__ import annotations

import csv
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

import onward as ow
from marked_pages import guide
from onward.app.project import open_project
from onward.core.clock import ReplayClock
from onward.flow.run.runs import request
from onward.stages.validate.translate.great_expectations import KNOWN

GUIDE = guide("checks")
SOURCES = """
customers = ow.Source(
    "customers", ow.files("data/customers.csv"), key=["customer"], event_time="joined_at"
)
books = ow.Source("books", ow.files("data/books.csv"), key=["customer"], event_time="closed_at")
"""


@pytest.fixture
def project(shop: Path) -> Path:
    """The small shop with the guide's checks, its customers and its books."""
    names = {
        "rows": "rows",
        "keys": "keys",
        "batch": "batch",
        "python": "in_python",
        "pandera": "from_pandera",
        "great_expectations": "from_suite",
    }
    file = shop / "pipeline.py"
    blocks = "\n\n".join(GUIDE.block(name) for name in names)
    checks = ", ".join(names.values())
    text = file.read_text()
    code = re.sub(r"checks=\[.*?\n    \],", f"checks=[{checks}],", text, flags=re.DOTALL)
    code = f"import pandera.pandas as pa\n{code}"
    (shop / "orders_suite.json").write_text(GUIDE.block("suite"))
    file.write_text(code.replace("\norders = ", f"\n{SOURCES}\n{blocks}\n\norders = ", 1))
    with (shop / "data" / "orders" / "first.csv").open() as lines:
        orders = list(csv.DictReader(lines))
    people = sorted({row["customer"] for row in orders})
    joined = "\n".join(f"{name},2025-01-01" for name in people[1:])
    (shop / "data" / "customers.csv").write_text(f"customer,joined_at\n{joined}\n")
    spent = dict.fromkeys(people, 0.0)
    for row in orders:
        spent[row["customer"]] += float(row["amount"])
    books = "\n".join(f"{name},2026-03-01,{total:.4f}" for name, total in spent.items())
    (shop / "data" / "books.csv").write_text(f"customer,closed_at,total\n{books}\n")
    return shop


def test_every_rule_of_the_guide_is_judged(project: Path) -> None:
    with open_project(project, clock=ReplayClock(datetime(2026, 6, 1, tzinfo=UTC))) as opened:
        outcome = opened.deliver(request(opened.site, "data only", train=False))
    [report] = [report for report in outcome.audits if report.dataset == "orders"]
    found = {rule.rule: rule for rule in report.rules if not rule.rule.endswith("is present")}
    assert len(found) == 29
    assert {name for name, rule in found.items() if not rule.passed} == {
        "amount is positive",
        "amount: greater_than(0)",
        "basket is usual",
        "customer is in customers.customer",
        "recorded_at is fresh",
    }
    assert [w.rule for w in report.warnings] == ["basket is usual", "recorded_at is fresh"]
    assert outcome.state == "refreshed"


def test_every_expectation_that_is_translated_is_named() -> None:
    assert {name for name in KNOWN if f"`{name.removeprefix('expect_')}`" not in GUIDE} == set()


def test_every_rule_there_is_is_in_the_guide() -> None:
    declared = {
        name for name in ow.__all__ if getattr(getattr(ow, name), "__module__", "").startswith(
            "onward.stages.validate")
    }  # fmt: skip
    assert {name for name in declared if f"ow.{name}(" not in GUIDE} == set()
