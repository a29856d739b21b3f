"""The model card: Markdown with Hugging Face's model-index as YAML front matter.

It states what is recorded and nothing else: what a model is meant for is its owners' to say.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Final

from onward.core.records import EvaluationReport, Metric, ModelRef, RunRef
from onward.core.refs import ref

_HUB_TASKS: Final = {
    "binary": "tabular-classification",
    "multiclass": "tabular-classification",
    "regression": "tabular-regression",
}


def card(model: ModelRef, trained: RunRef, report: EvaluationReport) -> str:
    """Return the card of a registered version."""
    parts = (
        _front_matter(model, trained, report),
        f"# {model.name}, version {model.version}\n",
        _section("Data", _data(trained)),
        _section("Parameters", _parameters(trained)),
        _section("Metrics", _metrics(report)),
        *(_section(f"By {column}", _slices(s)) for column, s in report.slices.items() if s),
        _section("Gates", _gates(report)),
        _section("Lineage", _lineage(model, trained, report)),
    )
    return "\n".join(parts)


def _front_matter(model: ModelRef, trained: RunRef, report: EvaluationReport) -> str:
    """Return the front matter; its values are written as JSON, which is YAML."""
    training = trained.training
    index = {
        "name": model.name,
        "results": [
            {
                "task": {"type": _HUB_TASKS[training.task]},
                "dataset": {
                    "name": training.ref,
                    "type": "tabular",
                    "split": f"event_time >= {trained.holdout_from.isoformat()}",
                },
                "metrics": [
                    {"type": m.name, "name": m.name, "value": m.value, "verified": False}
                    for m in report.metrics
                ],
            }
        ],
    }
    tags = json.dumps([_HUB_TASKS[training.task], training.task])
    return f"---\ntags: {tags}\nmodel-index: {json.dumps([index])}\n---\n"


def _data(trained: RunRef) -> list[str]:
    training = trained.training
    span = f"from {training.first.isoformat()} to {training.last.isoformat()}"
    return [
        f"- Label: `{training.label}` ({training.task})",
        f"- Rows: {training.rows:,}, {span}, as known at {training.as_of.isoformat()}",
        f"- Held out: rows from {trained.holdout_from.isoformat()} on",
        f"- Snapshots: {', '.join(f'`{snapshot}`' for snapshot in training.inputs)}",
        f"- Features: {', '.join(f'`{column.name}`' for column in training.plan.columns)}",
    ]


def _parameters(trained: RunRef) -> list[str]:
    given = [f"- `{name}`: {value!r}" for name, value in trained.candidate.parameters.items()]
    return [*given, f"- Origin: {trained.candidate.origin}"]


def _metrics(report: EvaluationReport) -> list[str]:
    champion = {metric.name: metric for metric in report.champion_metrics}
    title = f"{report.champion} on the same rows" if report.champion else "Champion"
    rows = [
        (m.name, _figure(m), _figure(champion[m.name]) if m.name in champion else "none yet")
        for m in report.metrics
    ]
    table = _table(("Metric", "Value [95 % interval]", title), rows)
    return [*table, "", f"On {report.rows:,} held-out rows."]


def _slices(metrics: Mapping[str, Metric]) -> list[str]:
    rows = [(value, m.name, _figure(m), f"{m.rows:,}") for value, m in metrics.items()]
    return _table(("Value", "Metric", "Value [95 % interval]", "Rows"), rows)


def _gates(report: EvaluationReport) -> list[str]:
    verdict = {True: "passed", False: "failed"}
    return [f"- {gate.gate}: {verdict[gate.passed]}. {gate.reason}" for gate in report.gates]


def _lineage(model: ModelRef, trained: RunRef, report: EvaluationReport) -> list[str]:
    facts = {
        "Model": model.ref,
        "Trained": trained.ref,
        "Digest": f"sha256:{model.digest}",
        "Training set": trained.training.ref,
        "Run": ref("run", report.run),
        "Tracker run": trained.tracker_run,
        "Commit": trained.commit or "not under version control",
    }
    return [f"- {name}: `{value}`" for name, value in facts.items()]


def _figure(metric: Metric) -> str:
    return f"{metric.value:.4g} [{metric.low:.4g}, {metric.high:.4g}]"


def _section(title: str, lines: list[str]) -> str:
    return "\n".join([f"## {title}", "", *(lines or ["None is declared."]), ""])


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    cells = [head, tuple("---" for _ in head), *rows]
    return [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in cells]
