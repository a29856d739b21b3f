"""Scoring a table: equal to the gateway's answers, share by share, audited and traced."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from marked_pages import guide
from onward.app.project import Project, open_project
from onward.app.score import score
from onward.app.settings.sources import read_settings
from onward.core.errors import DataError, DeclarationError, NotFoundError
from onward.flow.release.releases import champion
from onward.flow.run.runs import taken_in
from onward.stages.deploy.oci.layout import Layout
from onward.surfaces.cli.commands import cli

GUIDE = guide("scoring")


@pytest.fixture
def project(odd_shop: Path) -> Iterator[Project]:
    with open_project(odd_shop) as opened:
        yield opened


def rows_of(project: Project, table: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = project.site.lake.read(table).to_pylist()
    return found


def asked(project: Project, table: str) -> list[dict[str, Any]]:
    rows = rows_of(project, table)
    return [{c: r[c] for c in ("order_id", "customer", "amount", "items")} for r in rows]


def test_each_row_is_answered_as_by_the_gateway(project: Project) -> None:
    heard: list[tuple[int, int]] = []
    scored = score(project, "orders", workers=2, share=150, heard=lambda *n: heard.append(n))
    rows = {row["order_id"]: row for row in asked(project, "raw.orders")}
    odd = {unit: rows.pop(unit) for unit in ("zero", "nobody")}
    expected = {p["unit"]: p for p in project.predict(list(rows.values()))["predictions"]}
    found = {row["order_id"]: row for row in rows_of(project, "scores.orders")}
    refused = {row["order_id"]: row for row in rows_of(project, "quarantine.scores_orders")}
    assert found.keys() == expected.keys()
    assert refused.keys() == odd.keys()
    assert [row["probability"] for row in found.values()] == pytest.approx(
        [expected[unit]["output"] for unit in found], rel=1e-9
    )
    assert all(row["label"] == int(row["probability"] >= 0.5) for row in found.values())
    for unit, row in odd.items():
        with pytest.raises(DataError) as caught:
            project.predict([row])
        assert refused[unit]["error"] in caught.value.what
    assert (scored.rows, scored.failed) == (len(expected) + 2, 2)
    assert [done for done, _ in heard] == [150, 300, scored.rows]


def test_shares_change_nothing(project: Project) -> None:
    for name, share in (("whole", None), ("parted", 97)):
        score(project, "sold", into=name, keep=["order_id", "amount"], share=share)
    whole, parted = rows_of(project, "scores.whole"), rows_of(project, "scores.parted")
    for row in (*whole, *parted):
        assert row.pop("scored_at").tzinfo is not None
    assert parted == whole
    assert list(whole[0])[:3] == ["order_id", "amount", "probability"]
    assert not list((project.settings.state / "scoring").iterdir())


def test_what_a_killed_scoring_left_is_removed(project: Project) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    folder = project.settings.state / "scoring"
    folder.mkdir(exist_ok=True)
    left, busy = folder / f"{ended.pid}-abc", folder / f"{os.getpid()}-abc"
    for each in (left, busy):
        each.mkdir()
        (each / "share-00000.parquet").write_bytes(b"somebody's rows")
    score(project, "sold", into="after")
    assert list(folder.iterdir()) == [busy]
    shutil.rmtree(busy)


def test_a_version_whose_image_was_pruned_scores_all_the_same(project: Project) -> None:
    image = champion(project.ledger, "order_return")
    assert image is not None
    layout = Layout(Path(image.layout))
    layout.write_index([entry for entry in layout.entries() if entry.digest != image.digest])
    layout.path(image.digest).unlink()
    shutil.rmtree(project.site.folders.gateway / "unpacked", ignore_errors=True)
    scored = score(project, "sold", version=image.model.version, into="again")
    assert scored.published is not None


def test_scoring_is_no_news_to_the_loop(project: Project) -> None:
    before = project.ledger.events(newest_first=True, limit=1)[0].seq
    score(project, "sold", into="quiet")
    audited = project.ledger.events(kind="batch.audited", after=before)
    assert [told.event.subject for told in audited] == ["scores.quiet"]
    assert not taken_in(project.ledger, project.definition, after=before, besides=None)


def test_scores_lead_back_to_rows_and_model(project: Project) -> None:
    scored = score(project, "sold")
    assert scored.published is not None
    known = {node.ref for node in project.lineage(scored.published.ref).graph.nodes}
    assert {scored.read.ref, scored.model} <= known
    assert any(ref.startswith("snapshot:raw.orders") for ref in known)


@pytest.mark.parametrize(
    ("dataset", "options", "error", "words"),
    [
        ("sould", {}, NotFoundError, "did you mean 'sold'"),
        ("sold", {"version": 9}, NotFoundError, "no image of version 9"),
        ("sold", {"keep": ["order"]}, DeclarationError, "did you mean 'order_id'"),
    ],
)
def test_what_cannot_be_scored_is_said(project, dataset, options, error, words) -> None:
    with pytest.raises(error, match=words):
        score(project, dataset, **options)


def test_a_table_must_have_the_models_columns(project: Project) -> None:
    from onward.flow.plans import plan_of
    from onward.stages.serve.scoring import require_columns

    image = champion(project.ledger, "order_return")
    assert image is not None
    plan, schema = plan_of(image.model), project.site.lake.schema("derived.sold")
    assert schema is not None
    at = schema.get_field_index("amount")
    with pytest.raises(DataError, match="has no column 'amount'"):
        require_columns(plan, schema.remove(at), "derived.sold", image.model)
    wrong = schema.set(at, schema.field(at).with_type(pa.string()))
    with pytest.raises(DataError, match=r"column 'amount' of derived.sold is string"):
        require_columns(plan, wrong, "derived.sold", image.model)


def test_the_guides_command(odd_shop: Path) -> None:
    told = re.search(r"^\$ onward (score .*)$", GUIDE, re.MULTILINE)
    assert told is not None
    done = CliRunner().invoke(cli, [*shlex.split(told[1]), "--project", str(odd_shop)])
    assert done.exit_code == 0, done.output
    assert "answers in snapshot:scores.sold@" in done.output
    done = CliRunner().invoke(cli, ["score", "orders", "--project", str(odd_shop)])
    assert "2 rows without an answer in quarantine.scores_orders" in done.output
    done = CliRunner().invoke(cli, ["score", "sold", "--json", "--project", str(odd_shop)])
    assert json.loads(done.output)["failed"] == 0


def test_the_guides_settings(tmp_path: Path) -> None:
    (tmp_path / "onward.toml").write_text(GUIDE.block("settings"))
    chosen = read_settings(tmp_path).compute
    assert (chosen.kind, chosen.address, chosen.workers) == ("ray", "", 8)
