"""The guide to protection, run as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ibis import _

import onward as ow
from marked_pages import guide
from onward.core.clock import SystemClock
from onward.core.records.access import Caller
from onward.infra.lake.iceberg import open_lake
from onward.infra.masks.masks import KeyedMasks
from onward.infra.secrets.keyfile import KeyFile
from onward.stages.ingest.adapters.files import FileReader
from onward.stages.ingest.port import Surroundings
from onward.stages.ingest.step import ingest
from onward.stages.validate.step import audit, settle
from onward.watch.access.step import decide

GUIDE = guide("protect")


def test_the_guides_roles_are_roles() -> None:
    declared: dict[str, Any] = {"ow": ow}
    exec(compile(GUIDE.block("access"), "protect.md", "exec"), declared)
    access = declared["access"]
    lead = Caller(name="team-7", known_by="system")
    assert decide(access, lead, "run", "order_return").verdict == "allow"
    assert decide(access, lead, "erase", "customer").verdict == "wait"
    ada = Caller(name="ada", known_by="system")
    assert decide(access, ada, "reveal", "payments.iban", role="fraud").verdict == "allow"
    assert decide(access, ada, "read", "raw.orders").verdict == "deny"


def test_the_guides_masks_do_what_it_says(tmp_path: Path) -> None:
    declared: dict[str, Any] = {"ow": ow, "_": _}
    exec(compile(GUIDE.block("masks"), "protect.md", "exec"), declared)
    orders = declared["orders"]
    file = tmp_path / "data" / "orders" / "a.csv"
    file.parent.mkdir(parents=True)
    file.write_text(
        "order_id,ordered_at,name,customer,email,zip,age,born,iban\n"
        "1,2026-01-01T10:00:00Z,Ada,c1,ada@example.org,10115,36,1990-12-10,DE89\n"
        "2,2026-01-01T10:00:00Z,Bob,c1,bob@example.org,10115,12,2014-01-02,DE89\n"
    )
    lake, masks = open_lake(tmp_path / "lake"), KeyedMasks(KeyFile(tmp_path / "secrets.json"))
    reader = FileReader(Surroundings(folder=tmp_path))
    batch = ingest(orders, reader=reader, lake=lake, run="r1", masks=masks)
    assert batch is not None
    audit(batch, orders.checks, lake=lake, clock=SystemClock())
    settle(orders.table, lake=lake)
    [ada], [bob] = (lake.read(t).to_pylist() for t in ("raw.orders", "quarantine.raw_orders"))
    assert "name" not in ada
    assert (ada["zip"], ada["age"], ada["born"].year) == ("10***", "30-65", 1990)
    assert (ada["born"].month, ada["born"].day) == (1, 1)
    assert (bob["age"], bob["_reasons"]) == ("<18", ["an adult"])
    assert ada["customer"] == bob["customer"]
    assert re.fullmatch(r"p-[0-9a-f]{8}-[0-9a-f]{32}", ada["customer"])
