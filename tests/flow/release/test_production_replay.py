"""Production's past, and a staged image that answers it again."""

from __future__ import annotations

from pathlib import Path

from onward.app.project import open_project
from onward.flow.release.releases import champion
from onward.flow.release.replay import answered
from onward.stages.deploy.config import replayed
from onward.stages.deploy.step import accept

MODEL = "order_return"


def test_the_champion_answers_its_own_past_alike(odd_shop: Path, tmp_path: Path) -> None:
    with open_project(odd_shop) as project:
        site, gate = project.site, replayed(rows=20, change=1e-9)
        rows = project.site.lake.read("derived.sold").to_pylist()[:30]
        asked = [{c: r[c] for c in ("order_id", "customer", "amount", "items")} for r in rows]
        project.predict(asked)
        past = answered(site, MODEL, gate)  # other tests may have asked this shop, too
        again = project.predict([one.request for one in past])["predictions"]
        image = champion(site.ledger, MODEL)
        assert image is not None
        found = accept(
            image,
            servers=site.servers,
            acceptance=(gate,),
            folder=tmp_path,
            past=lambda wanted: answered(site, MODEL, wanted),
        )
    assert len(past) == 20
    assert [one.output for one in past] == [each["output"] for each in again]
    assert found.checks[-1].reason.startswith("20 of 20 requests answered")
    assert found.passed


def test_where_nothing_was_answered_there_is_nothing_to_replay(shop: Path) -> None:
    with open_project(shop) as project:
        assert answered(project.site, MODEL, replayed()) == ()
