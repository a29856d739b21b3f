"""What people read: figures cut to what they say, lines that fit, nothing told twice."""

from __future__ import annotations

import ast
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from onward.core.records import EvaluationReport, GateResult, Metric, RunRequest
from onward.flow.outcome import RunOutcome
from onward.surfaces.cli.check import laid_out
from onward.surfaces.cli.commands import cli
from onward.surfaces.cli.figures import significant
from onward.surfaces.cli.show import show_outcome

AT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.31771855478775696, "0.3177"),
        (1234.5678, "1235"),
        (1234567.8, "1,234,568"),
        (-20000.4, "-20,000"),
        (0.0, "0"),
        (12, "12"),
        ("books", "books"),
        (float("nan"), "nan"),
    ],
)
def test_a_figure_has_four_digits_that_say_something(value: Any, shown: str) -> None:
    assert significant(value) == shown


LONG = (
    'ow.check("colour is known", _.colour.isin(['
    + ", ".join(f'"{name} größer"' for name in ("amber", "beige", "cyan", "denim", "ecru", "fawn"))
    + "]))"
)


def test_a_long_check_is_laid_out_as_python_is() -> None:
    lines = laid_out(LONG, indent=4)
    assert lines[0] == "    ow.check("
    assert lines[1] == '        "colour is known",'
    assert max(map(len, lines)) <= 100
    assert ast.dump(ast.parse("".join(lines).strip(" ,"))) == ast.dump(ast.parse(LONG))


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=30), min_size=1, max_size=9))
def test_whatever_is_laid_out_means_the_same(texts: list[str]) -> None:
    code = f"ow.unique({', '.join(map(json.dumps, texts))}, keep='first', by={texts[0]!r})"
    lines = laid_out(code, indent=4)
    assert ast.dump(ast.parse("\n".join(lines).strip(" ,\n"))) == ast.dump(ast.parse(code))


def test_lineage_is_a_table_for_people_and_events_for_scripts(stocked: Path) -> None:
    def asked(*words: str) -> str:
        done = CliRunner().invoke(cli, ["openlineage", *words, "--project", str(stocked)])
        assert done.exit_code == 0, done.output
        return done.output

    events = [json.loads(line) for line in asked("--json").splitlines()]
    assert {event["eventType"] for event in events} == {"START", "COMPLETE"}
    shown = asked()
    assert re.search(r"complete\s+ingest\.raw\.orders", shown)
    assert f"{len(events):,} events in all; --json prints each as OpenLineage" in shown
    assert "schemaURL" not in shown


def test_a_rejection_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    wish = RunRequest(id="r1", reason="asked for", trigger="request", requested_at=AT)
    reason = "roc_auc 0.6000 on 10 rows; needs >= 0.65"
    gate = GateResult(gate="at_least(roc_auc)", passed=False, reason=reason)
    metric = Metric(name="roc_auc", value=0.6, low=0.5, high=0.7, rows=10)
    report = EvaluationReport(
        run="r1", model="m", trained="trained:1", champion=None, metrics=(metric,),
        champion_metrics=(), slices={}, gates=(gate,), passed=False, rows=10,
    )  # fmt: skip
    outcome = RunOutcome(id="r1", request=wish, state="rejected", reason=reason, evaluation=report)
    show_outcome(outcome, as_json=False)
    shown = capsys.readouterr().out
    assert shown.count("needs >= 0.65") == 1
    assert "rejected: no from at_least(roc_auc)" in shown
    assert "the champion stays" not in shown  # there is none
