"""Rows that were taken in without a run are news to the loop, once."""

from pathlib import Path

from onward.app.ingest import ingest_once
from onward.app.project import open_project
from onward.flow.happened import happened
from onward.flow.run.loop import _news
from onward.flow.run.runs import called_for, request


def test_what_a_follower_took_in_refreshes_what_is_derived(shop: Path) -> None:
    with open_project(shop) as project:
        site, definition = project.site, project.definition
        assert _news(site, definition) == "new data in orders"
        ingest_once(project)
        assert _news(site, definition) == "rows of raw.orders were taken in"
        wish = request(site, "refresh", "data", train=False)
        happened(site, "run.started", definition.model, key=wish.id, run=wish.id, request=wish,
                 digest=definition.digest, commit=None)  # fmt: skip
        assert _news(site, definition) is None
        assert called_for(site, definition) == "nothing was trained yet"
