"""REST endpoints: pages, tokens, limits and faults, and a cursor that commits with the rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import onward as ow
from onward.core.clock import SystemClock
from onward.core.errors import DataError, DeclarationError
from onward.infra.lake.iceberg import open_lake
from onward.stages.ingest.adapters.dlt import DltReader
from onward.stages.ingest.port import Surroundings
from onward.stages.ingest.step import ingest, pending
from onward.stages.validate.step import audit
from services.api import Api

PAGES = {"type": "json_link", "next_url_path": "next"}


def order(number: int, day: int, **more: Any) -> dict[str, Any]:
    return {"id": number, "at": f"2024-01-{day:02}T00:00:00Z", **more}


class Shop:
    """Orders from the API, and the lake that they go to."""

    def __init__(self, api: Api, folder: Path, **options: Any) -> None:
        options = {"records": "items", "pagination": PAGES, **options}
        self.source = ow.Source(
            "orders", ow.http(f"{api.url}/orders", **options), key="id", event_time="at"
        )
        self.lake = open_lake(folder / "lake")
        self.reader = DltReader(Surroundings(folder=folder, fill=lambda t: t.replace("$T", "open")))
        self._runs = 0

    def take(self, limits: Any = None) -> int | None:
        self._runs += 1
        run = f"r{self._runs}"
        batch = ingest(self.source, reader=self.reader, lake=self.lake, run=run, limits=limits)
        if batch is None:
            return None
        audit(batch, (), lake=self.lake, clock=SystemClock(), required=("id", "at"))
        return batch.rows

    def pending(self) -> bool:
        return pending(self.source, reader=self.reader, lake=self.lake)

    def ids(self) -> list[int]:
        return sorted(self.lake.read("raw.orders")["id"].to_pylist())


def test_pages_are_followed_and_the_cursor_commits_with_the_rows(api: Api, tmp_path: Path) -> None:
    shop = Shop(api, tmp_path, cursor="at", since="since", every="1ms")
    api.orders = [order(n, 1 + n // 2, nested={"tags": ["a"]}) for n in range(5)]
    assert shop.pending()
    assert shop.take() == 5
    assert shop.lake.read("raw.orders")["nested"].to_pylist()[0] == '{"tags":["a"]}'
    api.asked.clear()
    assert not shop.pending()
    assert shop.take() is None
    api.orders += [order(5, 3), order(6, 4)]  # one of the last day that was seen, one past it
    assert shop.pending()
    assert shop.take() == 2
    assert shop.ids() == list(range(7))
    assert {query["since"] for query in api.asked} == {"2024-01-03T00:00:00Z"}


def test_a_pass_that_was_not_published_is_made_again(api: Api, tmp_path: Path) -> None:
    shop = Shop(api, tmp_path, cursor="at", since="since", start="2024-01-02T00:00:00Z")
    api.orders = [order(1, 1), order(2, 2), order(3, 3)]
    assert ingest(shop.source, reader=shop.reader, lake=shop.lake, run="lost") is not None
    assert shop.take() == 2
    assert shop.ids() == [2, 3]


def test_limits_and_faults_are_waited_out(api: Api, tmp_path: Path) -> None:
    shop = Shop(api, tmp_path, cursor="at", since="since")
    api.orders = [order(1, 1)]
    api.faults = [(429, {"Retry-After": "1"}), (503, {"Retry-After": "1"})]
    assert shop.take() == 1
    assert api.faults == []


def test_faults_that_stay_take_nothing_in(api: Api, tmp_path: Path) -> None:
    shop = Shop(api, tmp_path, cursor="at", since="since", attempts=1)
    api.orders = [order(1, 1), order(2, 1), order(3, 2)]
    assert shop.take() == 3
    api.orders += [order(4, 3), order(5, 4)]
    api.faults = [(500, {})]
    with pytest.raises(DataError, match="500") as refused:
        shop.take()
    assert refused.value.location is not None
    assert shop.take() == 2
    assert shop.ids() == [1, 2, 3, 4, 5]


def test_a_token_that_expires_between_pages_is_asked_for_anew(api: Api, tmp_path: Path) -> None:
    auth = {
        "type": "oauth2_client_credentials",
        "access_token_url": f"{api.url}/token",
        "client_id": "onward",
        "client_secret": "s",
    }
    shop = Shop(api, tmp_path, cursor="at", since="since", auth=auth)
    api.orders = [order(n, 1) for n in range(6)]
    api.lasts = 2
    assert shop.take() == 6
    assert api.tokens == 2


def test_a_secret_is_filled_in_and_never_told(api: Api, tmp_path: Path) -> None:
    api.secret = "open"
    api.orders = [order(1, 1)]
    options = {"cursor": "at", "since": "since"}
    shop = Shop(api, tmp_path, auth={"token": "$T"}, **options)
    assert "$T" not in repr(shop.source.origin)
    assert shop.take() == 1
    wrong = Shop(api, tmp_path / "wrong", auth={"token": "hush"}, **options)
    with pytest.raises(DataError, match="401") as refused:
        wrong.take()
    assert "hush" not in str(refused.value)


def test_without_a_cursor_the_table_is_what_the_endpoint_gives(api: Api, tmp_path: Path) -> None:
    shop = Shop(api, tmp_path, every="1ms")
    api.orders = [order(1, 1), order(2, 2), order(3, 3)]
    assert shop.take() == 3
    assert shop.take() is None
    assert not shop.pending()
    api.orders = [order(2, 2), order(3, 4)]
    assert shop.pending()
    assert shop.take() == 2
    assert shop.ids() == [2, 3]


def test_who_waits_does_not_ask_all_the_time(api: Api, tmp_path: Path) -> None:
    shop = Shop(api, tmp_path, cursor="at", since="since", every="1h")
    limits = shop.source.micro_batch
    assert shop.take(limits) is None
    api.orders = [order(1, 1)]
    asked = len(api.asked)
    assert not shop.pending()
    assert shop.take(limits) is None
    assert len(api.asked) == asked
    assert shop.take() == 1  # asked for by a person: at once


def test_an_api_that_is_not_there_is_told(api: Api, tmp_path: Path) -> None:
    shop = Shop(api, tmp_path, cursor="at", attempts=1)
    api.orders = [order(1, 1)]
    assert shop.take() == 1
    source = ow.Source("orders", ow.http("http://127.0.0.1:9/", attempts=1), key="id",
                       event_time="at")  # fmt: skip
    with pytest.raises(DataError, match="cannot be read"):
        ingest(source, reader=shop.reader, lake=shop.lake, run="r")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"pagination": "pages"}, "no kind of pagination 'pages'"),
        ({"pagination": {"type": "curser"}}, "no kind of pagination 'curser'"),
        ({"auth": {"type": "basic"}}, "no kind of auth 'basic'"),
        ({"since": "after"}, "is to take a cursor"),
    ],
)
def test_a_declaration_that_cannot_be_is_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(DeclarationError, match=says) as refused:
        ow.http("http://localhost/", **options)
    assert refused.value.location is not None


@pytest.mark.parametrize(
    "options",
    [
        {"pagination": {"type": "json_link", "next_path": "n"}},
        {"pagination": "header_cursor", "auth": {"type": "http_basic", "user": "u"}},
    ],
)
def test_fields_that_are_none_of_dlts_are_refused_where_they_stand(
    api: Api, tmp_path: Path, options: dict[str, Any]
) -> None:
    with pytest.raises(DeclarationError) as refused:
        Shop(api, tmp_path, **options).take()
    assert refused.value.location is not None
