"""The whole loop on masked data: callers send raw values, and nothing but the gateway sees them."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from onward.app.gateway.serving import serving
from onward.app.project import Project, open_project
from onward.core.errors import DataError
from onward.core.records.masks import looks_masked
from onward.flow.release.observe import bring_in
from onward.flow.release.truth import known_labels
from onward.infra.search.files import files_with

MASKED = """
    masked={"order_id": ow.hashed(), "customer": ow.pseudonym("person")},
    checks=["""


@pytest.fixture(scope="module")
def shop(
    tmp_path_factory: pytest.TempPathFactory, shops: Callable[[Path], Path]
) -> Iterator[Project]:
    folder = shops(tmp_path_factory.mktemp("masked") / "shop")
    pipeline = folder / "pipeline.py"
    pipeline.write_text(pipeline.read_text().replace("\n    checks=[", MASKED, 1))
    orders = folder / "data" / "orders" / "first.csv"
    text = re.sub(r",c(\d)", r",customer-\1", orders.read_text())
    orders.write_text(text.replace("first-", "secret-id-"))
    with open_project(folder) as project:
        outcome = project.run()
        assert outcome is not None
        assert outcome.state == "promoted"
        with serving(project.settings, port=0):
            yield project


def raw_rows(project: Project, count: int) -> list[dict[str, Any]]:
    with (project.settings.folder / "data" / "orders" / "first.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if float(row["amount"]) > 0][-count:]
    return [
        {
            "order_id": row["order_id"],
            "customer": row["customer"],
            "amount": float(row["amount"]),
            "items": int(row["items"]),
        }
        for row in rows
    ]


def test_callers_send_raw_values_and_get_what_masked_ones_get(shop: Project) -> None:
    rows = raw_rows(shop, 3)
    masks = shop.definition.sources["orders"].masked
    masked = [
        {**row, **{name: shop.site.masks.value(mask, row[name]) for name, mask in masks.items()}}
        for row in rows
    ]
    given, again = (shop.predict(sent)["predictions"] for sent in (rows, masked))
    assert [p["output"] for p in given] == [p["output"] for p in again]
    assert [p["unit"] for p in given] == [row["order_id"] for row in masked]
    with pytest.raises(DataError, match="NaN"):  # the model asks for the customer's features
        shop.predict([{**rows[0], "customer": "customer-unknown"}])


def test_labels_join_predictions_by_the_masked_key(shop: Project) -> None:
    units = {p["unit"] for p in shop.predict(raw_rows(shop, 2))["predictions"]}
    known = known_labels(shop.site, shop.definition, shop.site.clock.now().replace(year=2025))
    assert units <= set(known["order_id"].to_pylist())


def test_nothing_under_the_state_holds_a_raw_value(shop: Project) -> None:
    shop.predict(raw_rows(shop, 5))
    bring_in(shop.site)
    raw = ["secret-id-", "customer-"]
    assert files_with(raw, shop.settings.state) == {}
    assert "secret-id-" not in json.dumps(shop.sample(3))


def test_a_value_of_another_type_is_refused_and_not_logged(shop: Project) -> None:
    [row] = raw_rows(shop, 1)
    with pytest.raises(DataError, match="customer"):
        shop.predict([{**row, "customer": 12.5}])
    assert files_with(["12.5"], shop.settings.state / "predictions") == {}


def test_the_image_says_where_a_container_finds_the_keys(shop: Project) -> None:
    unpacked = sorted((shop.settings.state / "staging").rglob("gateway.json"))
    config = next(json.loads(path.read_text()) for path in unpacked if "/etc/onward/" in str(path))
    assert config["masks"]["arguments"]["folder"] == "/run/secrets"


def test_the_training_sets_requests_are_masked(shop: Project) -> None:
    assert all(looks_masked(row["customer"]) for row in shop.sample(3))
