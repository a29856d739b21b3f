"""What changed the year's course, from the ledger, for the pictures."""

from __future__ import annotations

from datetime import datetime

from onward.core.ports import Ledger


def marks(ledger: Ledger, model: str) -> list[tuple[datetime, str]]:
    """Return moments and a few words each: retrainings, rejections, releases and their ends."""
    found: list[tuple[datetime, str]] = []
    for told in ledger.events(subject=model):
        event = told.event
        match event.kind:
            case "retrain.requested":
                found.append((event.at, "retrain"))
            case "release.started" if event.facts["champion"]:
                version = event.facts["candidate"]["model"]["version"]
                found.append((event.at, f"v{version} canary"))
            case "release.ended":
                found.append((event.at, f"v{event.key.rpartition('@')[2]} {event.facts['how']}"))
            case "run.finished" if event.facts["state"] in ("rejected", "refused"):
                found.append((event.at, event.facts["state"]))
    return found
