"""A whole run, told to others: typed at the command line, valid against the standard."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from openlineage_schema import require_valid

GUIDE = (Path(__file__).parents[3] / "docs" / "guide" / "lineage.md").read_text()


def onward(folder: Path, *words: str) -> str:
    command = [sys.executable, "-c", "from onward.surfaces.cli import main; main()", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_run_is_told_to_a_file_and_the_same_is_printed(
    tmp_path: Path, shops: Callable[[Path], Path]
) -> None:
    folder = shops(tmp_path / "shop")
    with (folder / "onward.toml").open("a") as settings:
        settings.write(re.search(r"```toml\n(.*?)```", GUIDE, re.DOTALL)[1])
    onward(folder, "run")
    sent = (folder / "lineage.ndjson").read_text()
    events = [json.loads(line) for line in sent.splitlines()]
    for event in events:
        require_valid(event)
    jobs = [event["job"]["name"] for event in events if event["eventType"] == "COMPLETE"]
    assert jobs[0] == "ingest.raw.orders"
    assert {"validate.derived.sold", "train.order_return", "release.order_return"} <= set(jobs)
    assert jobs[-1] == "order_return"
    assert {event["job"]["namespace"] for event in events} == {"the-shop"}

    typed = re.findall(r"^\$ onward (openlineage.*?) +#", GUIDE, re.MULTILINE)
    shown, printed, written, again = (onward(folder, *words.split()) for words in typed)
    assert f"{len(events)} events in all" in shown
    assert printed == sent
    assert (folder / "again.ndjson").read_text() == sent
    assert f"{len(events)} events" in written
    assert json.loads(again) == {"sent": 0}
