"""Masked columns: declared, applied before the first write, and the same ever after."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy
from ibis import _

import onward as ow
from onward.core.clock import SystemClock
from onward.core.errors import DataError, DeclarationError
from onward.core.records.masks import looks_masked
from onward.infra.lake.iceberg import IcebergLake, open_lake
from onward.infra.masks import keyring
from onward.infra.masks.masks import KeyedMasks
from onward.infra.search.files import files_with
from onward.infra.secrets.keyfile import KeyFile
from onward.stages.ingest.adapters.files import FileReader
from onward.stages.ingest.adapters.sql import SqlReader
from onward.stages.ingest.port import Surroundings
from onward.stages.ingest.step import ingest
from onward.stages.validate.step import audit, settle

MASKED = {
    "name": ow.drop(),
    "email": ow.hashed(),
    "customer": ow.pseudonym(),
    "iban": ow.revealable("fraud"),
    "zip": ow.generalise(digits=2),
    "age": ow.generalise(bins=[18, 65]),
    "born": ow.generalise(to="year"),
}
HEAD = "id,at,customer,name,email,iban,zip,age,born,price\n"
ADA = (
    "1,2024-01-01T10:00:00Z,cust-7731,Ada Planted,ada@planted.org,DE89-4711,01234,36,1815-12-10,5\n"
)
BOB = (
    "2,2024-01-02T10:00:00Z,cust-7731,"
    "Bob Planted,bob@planted.org,DE89-4711,99999,17,1990-02-03,-1\n"
)
BAD = "3,2024-01-03T10:00:00Z,cust-1234,Eve Planted,,,,planted-age,planted-day,7\n"
RAW = ["cust-7731", "Planted", "planted.org", "DE89-4711", "01234", "planted-age", "planted-day"]


def source(name: str = "orders", masked: Any = None, **changes: Any) -> ow.Source:
    wanted = {
        "key": ["id"],
        "event_time": "at",
        "checks": [ow.check("price is positive", _.price > 0)],
        "masked": MASKED if masked is None else masked,
    }
    return ow.Source(name, ow.files(f"in/{name}*.csv"), **wanted | changes)


class Place:
    """A folder with raw files beside a state that must never hold what is in them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.state = folder, folder / "state"
        self.lake: IcebergLake = open_lake(self.state / "lake")
        self.secrets = KeyFile(self.state / "secrets.json")

    def put(self, name: str, text: str) -> None:
        (self.folder / "in").mkdir(exist_ok=True)
        (self.folder / "in" / name).write_text(text)

    def take(self, run: str, src: ow.Source) -> list[dict[str, Any]]:
        """Ingest and publish; return the table's rows."""
        reader = FileReader(Surroundings(folder=self.folder))
        batch = ingest(src, reader=reader, lake=self.lake, run=run, masks=KeyedMasks(self.secrets))
        assert batch is not None
        audit(batch, src.checks, lake=self.lake, clock=SystemClock(), required=src.key)
        settle(src.table, lake=self.lake)
        rows: list[dict[str, Any]] = self.lake.read(src.table).to_pylist()
        return sorted(rows, key=lambda row: row["id"])


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_no_raw_value_is_ever_written(place: Place) -> None:
    place.put("orders1.csv", HEAD + ADA + BOB)
    [ada] = place.take("r1", source())
    masks = KeyedMasks(place.secrets)
    masked = source().masked
    assert set(ada) == set(HEAD.strip().split(",")) - {"name"}
    assert ada["customer"] == masks.value(masked["customer"], "cust-7731")
    assert ada["email"] == masks.value(masked["email"], "ada@planted.org")
    assert masks.reveal(masked["iban"], ada["iban"]) == "DE89-4711"
    assert (ada["zip"], ada["age"], ada["born"].isoformat()) == ("01***", "18-65", "1815-01-01")
    [bob] = place.lake.read("quarantine.raw_orders").to_pylist()
    assert bob["customer"] == ada["customer"]
    assert bob["iban"] != ada["iban"]
    assert bob["age"] == "<18"
    assert files_with(RAW, place.state) == {}


def test_an_unreadable_value_of_a_masked_column_is_not_told(place: Place) -> None:
    place.put("orders1.csv", HEAD + ADA)
    place.take("r1", source())
    place.put("orders2.csv", HEAD + BAD)
    place.take("r2", source())
    [bad] = place.lake.read("quarantine.raw_orders").to_pylist()
    assert bad["_unreadable"] == "age=(masked); born=(masked)"
    assert files_with(RAW, place.state) == {}


def test_later_batches_are_masked_alike_whatever_the_order_of_columns(place: Place) -> None:
    place.put("orders1.csv", HEAD + ADA)
    place.take("r1", source())
    names, values = HEAD.strip().split(","), ADA.strip().replace("1,", "9,", 1).split(",")
    place.put("orders2.csv", ",".join(reversed(names)) + "\n" + ",".join(reversed(values)) + "\n")
    first, second = place.take("r2", source())
    same = ("customer", "email", "zip", "age", "born")
    assert [first[name] for name in same] == [second[name] for name in same]


def test_pseudonyms_join_across_sources_and_hashes_do_not(place: Place) -> None:
    alike = {"customer": ow.pseudonym(), "email": ow.hashed()}
    rows = "id,at,customer,email\n1,2024-01-01T10:00:00Z,c1,a@b.org\n"
    found = {}
    for name in ("orders", "clicks"):
        place.put(f"{name}.csv", rows)
        [found[name]] = place.take(f"r-{name}", source(name, masked=alike, checks=[]))
    assert found["orders"]["customer"] == found["clicks"]["customer"]
    assert found["orders"]["email"] != found["clicks"]["email"]


def test_a_domain_joins_columns_of_other_names(place: Place) -> None:
    place.put("orders.csv", "id,at,buyer\n1,2024-01-01T10:00:00Z,c1\n")
    place.put("clicks.csv", "id,at,visitor\n1,2024-01-01T10:00:00Z,c1\n")
    [order] = place.take("r1", source(masked={"buyer": ow.pseudonym("person")}, checks=[]))
    clicks = source("clicks", masked={"visitor": ow.pseudonym("person")}, checks=[])
    assert place.take("r2", clicks)[0]["visitor"] == order["buyer"]


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ({}, {"customer": ow.pseudonym()}),
        ({"customer": ow.pseudonym()}, {}),
        ({"customer": ow.pseudonym()}, {"customer": ow.hashed()}),
        ({"customer": ow.pseudonym()}, {"customer": ow.pseudonym("person")}),
        ({"zip": ow.generalise(digits=2)}, {"zip": ow.generalise(digits=3)}),
    ],
    ids=str,
)
def test_a_table_keeps_its_masks(place: Place, before: Any, now: Any) -> None:
    place.put("orders1.csv", HEAD + ADA)
    place.take("r1", source(masked=before))
    place.put("orders2.csv", HEAD + BOB)
    with pytest.raises(DeclarationError, match="declare a source of another name"):
        place.take("r2", source(masked=now))


def test_a_column_that_comes_later_may_come_masked(place: Place) -> None:
    place.put("orders1.csv", "id,at,customer\n1,2024-01-01T10:00:00Z,cust-7731\n")
    first = source(masked={"customer": ow.pseudonym()}, checks=[], on_schema_change="evolve")
    place.take("r1", first)
    place.put("orders2.csv", HEAD + BOB)
    later = source(masked=MASKED, checks=[], on_schema_change="evolve")
    rows = place.take("r2", later)
    assert rows[0]["customer"] == rows[1]["customer"]
    assert [row["zip"] for row in rows] == [None, "99***"]
    assert "name" not in rows[1]
    assert files_with(RAW, place.state) == {}


def test_a_masked_column_goes_on_under_a_new_name(place: Place) -> None:
    place.put("orders1.csv", "id,at,buyer\n1,2024-01-01T10:00:00Z,cust-7731\n")
    place.take("r1", source(masked={"buyer": ow.pseudonym("person")}, checks=[]))
    place.put("orders2.csv", "id,at,customer\n2,2024-01-01T10:00:00Z,cust-7731\n")
    renamed = source(
        masked={"customer": ow.pseudonym("person")}, checks=[], renamed={"customer": "buyer"}
    )
    first, second = place.take("r2", renamed)
    assert first["customer"] == second["customer"]
    place.put("orders3.csv", "id,at,customer\n3,2024-01-01T10:00:00Z,cust-7731\n")
    bare = source(masked={}, checks=[], renamed={"customer": "buyer"})
    with pytest.raises(DeclarationError, match="declare a source of another name"):
        place.take("r3", bare)


def test_another_key_is_noticed_before_it_parts_what_belongs_together(place: Place) -> None:
    place.put("orders1.csv", HEAD + ADA)
    place.take("r1", source())
    keyring.rotate(place.secrets, keyring.REVEAL)
    place.put("orders2.csv", HEAD + ADA.replace("1,", "4,", 1))
    place.take("r2", source())
    keyring.rotate(place.secrets, keyring.TOKENS)
    place.put("orders3.csv", HEAD + ADA.replace("1,", "5,", 1))
    with pytest.raises(DataError, match="by another key now"):
        place.take("r3", source())


def test_rows_of_a_database_are_masked_too(place: Place) -> None:
    url = f"sqlite:///{place.folder / 'shop.db'}"
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as db:
        db.execute(sqlalchemy.text("CREATE TABLE orders (id INTEGER, at TEXT, customer INTEGER)"))
        db.execute(
            sqlalchemy.text("INSERT INTO orders VALUES (1, '2024-01-01 10:00:00', 77314711)")
        )
    engine.dispose()
    src = ow.Source(
        "orders", ow.sql(url, "orders", cursor="id"), key="id", event_time="at",
        masked={"customer": ow.pseudonym()},
    )  # fmt: skip
    masks = KeyedMasks(place.secrets)
    reader = SqlReader(Surroundings(folder=place.folder))
    batch = ingest(src, reader=reader, lake=place.lake, run="r1", masks=masks)
    assert batch is not None
    audit(batch, (), lake=place.lake, clock=SystemClock())
    [row] = place.lake.read("raw.orders").to_pylist()
    assert row["customer"] == masks.value(src.masked["customer"], 77314711)
    assert files_with(["77314711"], place.state) == {}


def test_a_damaged_row_is_not_shown_in_the_error(place: Place) -> None:
    place.put("orders1.csv", HEAD + ADA + BOB.strip() + ",Eve Planted,1,2\n")
    with pytest.raises(DataError) as refused:
        place.take("r1", source())
    assert not any(raw in str(refused.value) for raw in RAW)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"masked": {"at": ow.pseudonym()}}, "what a model may see"),
        ({"masked": {"id": ow.drop()}}, "part of the key"),
        ({"masked": {"id": ow.revealable("fraud")}}, "part of the key"),
        ({"masked": {"zip": ow.generalise(digits=1)}, "subject": "zip"}, "nobody could be found"),
        ({"masked": {"zip": "drop"}}, "masked by 'drop'"),
        ({"masked": {"zip": ow.hashed()}, "types": {"zip": "int64"}}, "no type for the column"),
    ],
)
def test_masks_that_cannot_hold_are_refused(changes: Any, why: str) -> None:
    with pytest.raises(DeclarationError, match=why) as refused:
        source(**changes)
    assert refused.value.location


def test_a_cursor_cannot_be_masked() -> None:
    with pytest.raises(DeclarationError, match="it is the cursor"):
        ow.Source(
            "orders", ow.sql("sqlite:///a.db", "orders", cursor="seq"), key="id", event_time="at",
            masked={"seq": ow.pseudonym()},
        )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"masked": {"emial": ow.drop()}}, "did you mean 'email'"),
        ({"masked": {}, "subject": "custumer"}, "did you mean 'customer'"),
        ({"masked": {"zip": ow.generalise(to="day")}}, "a time or a date for to"),
        ({"masked": {"email": ow.generalise(step=5)}}, "a number for step"),
    ],
)
def test_what_the_data_do_not_have_is_refused(place: Place, changes: Any, why: str) -> None:
    place.put("orders1.csv", HEAD + ADA)
    with pytest.raises(DeclarationError, match=why):
        place.take("r1", source(**changes))


@pytest.mark.parametrize(
    "how",
    [{}, {"digits": 2, "step": 1}, {"digits": -1}, {"step": 0}, {"bins": [2, 1]}, {"to": "week"}],
    ids=str,
)
def test_a_generalisation_is_one_of_four(how: Any) -> None:
    with pytest.raises(DeclarationError):
        ow.generalise(**how)


def test_nothing_is_masked_without_what_masks(place: Place) -> None:
    place.put("orders1.csv", HEAD + ADA)
    with pytest.raises(ValueError, match="masks columns"):
        ingest(
            source(),
            reader=FileReader(Surroundings(folder=place.folder)),
            lake=place.lake,
            run="r1",
        )


def test_what_looks_masked_already_is_masked_again(place: Place) -> None:
    """Whoever delivers data cannot pass one for another by sending a pseudonym."""
    forged = KeyedMasks(place.secrets).value(source().masked["customer"], "cust-7731")
    assert looks_masked(forged)
    place.put("orders1.csv", HEAD + ADA.replace("cust-7731", forged))
    [row] = place.take("r1", source())
    assert row["customer"] != forged
    assert pa.types.is_string(place.lake.schema("raw.orders").field("customer").type)  # type: ignore[union-attr]
