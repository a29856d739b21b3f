"""From the lake to the online store: the newest known rows, once, whatever crashes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from flight_shop import DAY, START, Shop, delays, flights

from onward.core.records import Materialized, ViewPlan
from onward.stages.features.step import materialize


def test_a_lost_store_is_filled_again(shop: Shop, tmp_path: Path) -> None:
    from onward.infra.online.sqlite import open_store

    inputs = shop.holds(flights(("UA", 0, 1, 1.0), ("AA", 0, 1, 2.0)))
    shop.clock.advance(START + 2 * DAY)
    shop.again(delays, inputs)
    shop.online = open_store(str(tmp_path / "another.db"))
    assert shop.again(delays, inputs).online_written == 2
    shop.online.close()


def test_a_mark_says_how_far_the_store_is_and_how_new_its_rows_are(shop: Shop) -> None:
    found = shop.publish(delays, flights(("UA", 0, 1, 1.0), ("AA", 3, 9, 2.0)), day=2)
    mark = shop.online.mark(found.view)
    assert mark == Materialized(snapshot=found.snapshot, at=START + 2 * DAY, newest=START)
    again = shop.publish(
        delays, flights(("UA", 0, 1, 1.0), ("AA", 3, 9, 2.0), ("B6", -1, 4, 3.0)), day=4
    )
    assert shop.online.mark(again.view) == Materialized(
        snapshot=again.snapshot, at=START + 4 * DAY, newest=START
    ), "an older row of another entity leaves the newest as it was"


def test_rows_go_online_when_they_become_known_without_new_data(shop: Shop) -> None:
    found = shop.publish(delays, flights(("UA", 0, 1, 1.0), ("AA", 3, 9, 2.0)), day=2)
    ports = {"lake": shop.lake, "online": shop.online}
    assert materialize(found.view, now=START + 8 * DAY, **ports) == 0
    assert shop.served(found, "AA", 8) is None
    assert materialize(found.view, now=START + 9 * DAY, **ports) == 1
    assert shop.served(found, "AA", 9) == (2.0,)
    assert materialize(found.view, now=START + 10 * DAY, **ports) == 0
    assert materialize(found.view, now=START + 10 * DAY, full=True, **ports) == 2


def test_a_view_that_is_not_in_the_lake_has_nothing_to_write(shop: Shop) -> None:
    view = ViewPlan(
        name="v", version=1, table="features.v_v1", entity=("carrier",), columns=("delay",)
    )
    assert materialize(view, lake=shop.lake, online=shop.online, now=START) == 0
    assert shop.online.mark(view) is None


CRASHING = """
import os, signal, sys
from pathlib import Path
import flight_shop as t
from onward.core.clock import ReplayClock
from onward.infra.lake.iceberg import open_lake
from onward.infra.online.sqlite import open_store
from onward.stages.features.step import publish

folder, where = Path(sys.argv[1]), sys.argv[2]
lake, online = open_lake(folder / "lake"), open_store(str(folder / "online.db"))
end = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
append, write = lake.append, online.write
if where == "before append":
    lake.append = end
if where == "after append":
    lake.append = lambda *a, **k: (append(*a, **k), end())
if where == "after write":
    online.write = lambda *a, **k: (write(*a, **k), end())
inputs = {"flights": lake.dataset("raw.flights")}
publish(t.delays, lake=lake, online=online, inputs=inputs, run="run-2",
        clock=ReplayClock(t.START + 5 * t.DAY))
"""


@pytest.mark.crash
@pytest.mark.parametrize("where", ["before append", "after append", "after write"])
def test_killed_anywhere_and_run_again_the_rows_are_there_once(
    shop: Shop, tmp_path: Path, where: str
) -> None:
    shop.publish(delays, flights(("UA", 0, 1, 1.0), ("AA", 0, 1, 2.0)), day=2)
    inputs = shop.holds(
        flights(("UA", 0, 1, 1.0), ("AA", 0, 1, 2.5), ("UA", 2, 3, 3.0), ("B6", 2, 3, 4.0))
    )
    ended = subprocess.run(
        [sys.executable, "-c", CRASHING, str(tmp_path), where],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(Path(__file__).parent), *sys.path))},
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL
    shop.clock.advance(START + 5 * DAY)
    found = shop.again(delays, inputs)
    assert shop.stored() == [
        ("AA", 0, 1, 2.0), ("AA", 0, 5, 2.5), ("B6", 2, 3, 4.0), ("UA", 0, 1, 1.0),
        ("UA", 2, 3, 3.0),
    ]  # fmt: skip
    assert [shop.served(found, c, 5) for c in ("UA", "AA", "B6")] == [(3.0,), (2.5,), (4.0,)]
    assert shop.again(delays, inputs).online_written == 0
