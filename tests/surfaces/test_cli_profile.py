"""`onward profile`: a table in the terminal, as JSON, and as a page that stands alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from onward.app.profile import Profile, profile
from onward.app.project import open_project
from onward.core.errors import OnwardError
from onward.surfaces.cli.commands import cli
from onward.surfaces.cli.figures import halved, share, spark, value
from onward.surfaces.cli.profile_page import page


def invoke(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, ["profile", *words, "--project", str(folder)])


def asked(folder: Path, *words: str) -> str:
    done = invoke(folder, *words)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def orders(stocked: Path) -> Profile:
    with open_project(stocked) as project:
        return profile(project, "orders")


def test_a_table_is_shown_column_by_column(stocked: Path, orders: Profile) -> None:
    shown = asked(stocked, "orders")
    assert f"raw.orders@{orders.snapshot}" in shown
    assert "390 rows, 7 columns" in shown
    [amount] = [line for line in shown.splitlines() if line.startswith("amount")]
    assert value(orders.columns["amount"]["max"]) in amount
    told = json.loads(asked(stocked, "orders", "--json"))
    assert told["columns"]["customer"]["distinct"] == 40
    assert told["columns"]["amount"]["min"] > 0


@pytest.mark.parametrize("name", ["raw.orders", "sold", "features.habits_v1"])
def test_any_table_may_be_named(stocked: Path, name: str) -> None:
    assert json.loads(asked(stocked, name, "--json"))["rows"] > 0


def test_a_snapshot_may_be_named_in_three_ways(stocked: Path, orders: Profile) -> None:
    number = str(orders.snapshot)
    for words in (("orders", "--snapshot", number), (f"orders@{number}",),
                  (f"snapshot:raw.orders@{number}",)):  # fmt: skip
        assert json.loads(asked(stocked, *words, "--json"))["snapshot"] == orders.snapshot


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("order", "did you mean 'orders'"),
        ("orders@12", "'orders@12' names no snapshot"),
        ("orders@-7", "names no snapshot"),
    ],
)
def test_what_is_not_there_is_refused(stocked: Path, name: str, said: str) -> None:
    error = invoke(stocked, name).exception
    assert isinstance(error, OnwardError)
    assert said in str(error)


# ---------------------------------------------------------------- the page


class Read(HTMLParser):
    """What a page opens, closes and loads."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "rect", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag != "rect":
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(text: str) -> Read:
    found = Read()
    found.feed(text)
    assert found.open == []
    return found


def test_the_page_stands_alone(stocked: Path, tmp_path: Path) -> None:
    file = tmp_path / "orders.html"
    assert "orders.html" in asked(stocked, "orders", "--html", str(file))
    found = read(file.read_text())
    assert not {tag for tag, _ in found.tags} & {"script", "link", "img", "iframe"}
    assert all(not (a.get("href") or "#").startswith("http") for _, a in found.tags)
    assert "url(" not in file.read_text()
    assert "prefers-color-scheme: dark" in file.read_text()


def test_the_page_can_be_read_aloud(orders: Profile) -> None:
    found = read(page(orders))
    ids = {a["id"] for _, a in found.tags if "id" in a}
    assert {a["href"][1:] for tag, a in found.tags if tag == "a"} == ids
    assert all(a.get("scope") for tag, a in found.tags if tag == "th")
    pictures = [a for tag, a in found.tags if tag == "svg"]
    assert len(pictures) == 5  # three numbers and two times
    assert all(a["role"] == "img" and "equal parts" in a["aria-label"] for a in pictures)
    assert ("html", {"lang": "en"}) in found.tags
    assert "raw.orders" in found.text


def test_what_data_says_is_text_on_the_page() -> None:
    hostile = "<script>alert(1)</script>"
    with_it = Profile(
        project=hostile, table="raw.t", snapshot=1, at=datetime(2024, 1, 1, tzinfo=UTC),
        rows=2, exact=False,
        columns={
            hostile: {"type": "string", "dtype": "VARCHAR", "nulls": 1, "distinct": 1,
                      "lengths": [3, 3], "top": [[hostile, 0.5], ["", 0.5]]},
            "o": {"type": "other", "dtype": "BIGINT[]", "nulls": 0},
        },
    )  # fmt: skip
    text = page(with_it)
    found = read(text)
    assert "<script" not in text
    assert hostile in found.text
    assert "estimated" in found.text
    assert "(empty)" in found.text


def test_a_page_that_cannot_be_written_is_told(stocked: Path, tmp_path: Path) -> None:
    error = invoke(stocked, "orders", "--html", str(tmp_path / "none" / "a.html")).exception
    assert isinstance(error, OnwardError)
    assert "cannot be written" in str(error)


def test_figures_are_short() -> None:
    assert spark([0, 1, 2, 4, None]) == " ▃▅█·"
    assert spark([]) == ""
    assert halved([1, 2, 3]) == [3, 3]
    parts = (0, 1, 44, 995, 9_999, 10_000)
    assert [share(p, 10_000) for p in parts] == [
        "0 %", "<0.1 %", "0.4 %", "9.9 %", "99.9 %", "100 %",
    ]  # fmt: skip
    found = (None, True, 1234, 0.1 + 0.2, 123456.0, "2024-01-01T00:00:00+00:00")
    assert [value(v) for v in found] == [
        "", "true", "1,234", "0.3", "123,456", "2024-01-01",
    ]  # fmt: skip
