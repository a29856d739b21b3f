"""Showing records to a person, or as JSON to a script."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.table import Table

from onward.core.errors import OnwardError
from onward.core.records import Candidate, EvaluationReport, RuleResult, ValidationReport
from onward.core.wording import counted

if TYPE_CHECKING:
    from rich.tree import Tree

    from onward.app.status import Status
    from onward.flow.lineage import Lineage
    from onward.flow.outcome import RunOutcome
    from onward.flow.release.releases import Release
    from onward.flow.run.runs import RunEntry

console = Console(highlight=False, emoji=False)

_BRIEF = 60  # characters of a run's reason in a list; the run shown by itself has the whole

_MARKS = {
    "promoted": "green",
    "released": "green",
    "refreshed": "green",
    "searched": "green",
    "unchanged": "yellow",
    "rejected": "yellow",
    "refused": "red",
    "held": "red",
    "failed": "red",
    "cancelled": "yellow",
}


def as_json_text(value: Any) -> str:
    """Return a record, or plain values that hold records, as indented JSON."""
    import msgspec

    encoded = msgspec.json.encode(value, enc_hook=_plain_value)
    return msgspec.json.format(encoded, indent=2).decode()


def _plain_value(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else str(value)


def put(value: Any, as_json: bool) -> bool:
    """Print `value` as JSON if asked; return whether it was."""
    if as_json:
        sys.stdout.write(as_json_text(value) + "\n")
    return as_json


def show_error(error: OnwardError) -> None:
    """Print what happened, what was expected, and what to do next, to standard error."""
    out = Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)
    where = f"{plain(str(error.location))}: " if error.location else ""
    out.print(f"[bold red]error[/] {where}{plain(error.what)}")
    if error.expected:
        out.print(f"  [dim]expected[/] {plain(error.expected)}")
    if error.next_step:
        out.print(f"  [dim]next[/]     {plain(error.next_step)}")


def warn(text: str) -> None:
    """Print what went wrong without making the command fail, to standard error."""
    Console(stderr=True, highlight=False, emoji=False, soft_wrap=True).print(
        f"[yellow]note[/] {plain(text)}"
    )


def show_created(folder: Path, files: Sequence[Path], *, as_json: bool) -> None:
    """Show a new project's files and what to type next."""
    if put({"folder": folder, "files": list(files)}, as_json):
        return
    console.print(f"[bold]{folder}[/] is ready:")
    for file in files:
        console.print(f"  {file.relative_to(folder.resolve())}")
    console.print(f"\nnext: [bold]cd {folder} && onward run[/]")


def show_nothing_new(last: RunEntry | None, *, as_json: bool) -> None:
    """Say that a run would do nothing, and how the last one ended."""
    if put({"state": "nothing new", "last": last}, as_json):
        return
    console.print("nothing new: neither data nor pipeline changed since the last run")
    if last is not None and last.state is not None:
        colour = _MARKS.get(last.state, "white")
        console.print(f"run {last.id} ended [{colour}]{last.state}[/]: {plain(last.reason)}")
    console.print("[dim]next: `onward status`; `onward run --force` trains all the same[/]")


def show_outcome(outcome: RunOutcome, *, as_json: bool) -> None:
    """Show how a run ended, gate by gate."""
    if put(outcome, as_json):
        return
    for report in outcome.audits:
        for rule in report.warnings:
            _broken(rule, dataset=report.dataset)
    if outcome.evaluation is not None:
        _gates(outcome.evaluation)
    colour = _MARKS.get(outcome.state, "white")
    console.print(f"[bold {colour}]{outcome.state}[/]: {plain(_why(outcome))}")
    console.print(f"[dim]{_next_step(outcome)}[/]")


def _why(outcome: RunOutcome) -> str:
    """Return the reason, without what the gates above have said already."""
    if outcome.state != "rejected" or outcome.evaluation is None:
        return outcome.reason
    return f"no from {', '.join(g.gate for g in outcome.evaluation.gates if not g.passed)}"


def _next_step(outcome: RunOutcome) -> str:
    match outcome.state:
        case "promoted":
            return "next: `onward up` serves it; `onward predict --sample 1` asks it"
        case "released":
            return "next: `onward up` sends it traffic and decides; `onward status` shows how"
        case "held":
            return "next: `onward quarantine` shows the rows; mend the data or the rule"
        case "rejected" | "refused":
            stays = "" if _first(outcome) else "; the champion stays"
            return f"next: `onward runs {outcome.id}` shows all of it{stays}"
        case _:
            return f"see `onward runs {outcome.id}`"


def _first(outcome: RunOutcome) -> bool:
    """Whether there is no champion that could stay."""
    return outcome.evaluation is None or outcome.evaluation.champion is None


def _gates(report: EvaluationReport) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("gate", "", "why"):
        table.add_column(column)
    for gate in report.gates:
        mark = "[green]passed[/]" if gate.passed else "[red]failed[/]"
        table.add_row(gate.gate, mark, plain(gate.reason))
    console.print(table)


def show_runs(found: Sequence[RunEntry], *, as_json: bool) -> None:
    """List runs, newest first."""
    if put(found, as_json):
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("run", "trigger", "state", "model", "seconds", "reason"):
        side: Literal["right", "left"] = "right" if column == "seconds" else "left"
        table.add_column(column, justify=side, no_wrap=column != "reason")
    for run in found:
        state = run.state or "under way"
        table.add_row(
            run.id,
            run.request.trigger,
            f"[{_MARKS.get(state, 'cyan')}]{state}[/]",
            (run.model or "").removeprefix("model:"),
            "" if run.seconds is None else f"{run.seconds:.1f}",
            plain(textwrap.shorten(run.reason or run.request.reason, _BRIEF, placeholder=" …")),
        )
    console.print(table if found else "no runs yet; `onward run` starts the first")


def show_run(detail: Any, *, as_json: bool) -> None:
    """Show one run: its audits, metrics and gates."""
    if put(detail, as_json):
        return
    run = detail.run
    console.print(f"[bold]{run.id}[/] {run.state or 'under way'}: {plain(run.reason)}")
    console.print(f"[dim]began {_when(run.started_at)}, {plain(run.request.reason)}[/]")
    for report in detail.audits:
        _audit(report)
    if detail.evaluation is not None:
        for metric in detail.evaluation.metrics:
            console.print(
                f"  {metric.name:20} {metric.value:.4f}  [{metric.low:.4f}, {metric.high:.4f}]"
                f"  on {counted(metric.rows, 'row')}",
                markup=False,
            )
        _gates(detail.evaluation)


def _audit(report: ValidationReport) -> None:
    console.print(
        f"  {report.dataset}: {counted(report.rows_in, 'row')} in, "
        f"{report.rows_published:,} published, {report.rows_quarantined:,} quarantined"
        + ("; [red]held[/]" if report.held else "")
    )
    for rule in report.rules:
        if not rule.passed:
            _broken(rule, indent="    ")


def _broken(rule: RuleResult, *, indent: str = "", dataset: str = "") -> None:
    """Show a rule that is broken: what it does, its name, and how much of what."""
    colour = {"hold": "red", "quarantine": "yellow", "warn": "magenta"}[rule.severity]
    where = f"{plain(dataset)}: " if dataset else ""
    detail = f": {plain(rule.detail)}" if rule.detail else ""
    console.print(f"{indent}[{colour}]{rule.severity:10}[/] {where}{plain(rule.rule)}{detail}")


def show_models(found: Sequence[Any], *, as_json: bool) -> None:
    """List the registered versions, each with the first of its metrics."""
    if put(found, as_json):
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("version", "alias", "registered", "metric", "run", "commit"):
        table.add_column(column, no_wrap=column != "run", overflow="fold")
    for entry in found:
        table.add_row(
            str(entry.version),
            ", ".join(entry.aliases),
            f"{entry.created_at:%Y-%m-%d %H:%M}",
            ", ".join(f"{name} {value:.4f}" for name, value in [*entry.metrics.items()][:1]),
            entry.run,
            (entry.commit or "")[:7],
        )
    console.print(table if found else "no versions yet; `onward run` makes the first")


def show_candidate(found: Candidate, *, as_json: bool) -> None:
    """Show a search's choice."""
    if put(found, as_json):
        return
    chosen = ", ".join(f"{k}={v}" for k, v in found.parameters.items())
    score = "" if found.score is None else f", score {found.score:.4f}"
    console.print(f"[bold]{plain(chosen)}[/] after {counted(found.trials, 'trial')}{score}")
    console.print("[dim]next: `onward run` trains with it[/]")


def show_rollback(release: Release, *, as_json: bool) -> None:
    """Show where traffic goes after a rollback."""
    if put(release, as_json):
        return
    console.print(plain(release.endings[-1]))
    console.print("[dim]next: `onward status` shows who serves[/]")


def show_status(status: Status, *, as_json: bool) -> None:
    """Show how the project stands."""
    if put(status, as_json):
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim")
    table.add_column()
    for name, text in status.lines():
        table.add_row(name, plain(text))
    console.print(table)


def show_lineage(found: Lineage, *, as_json: bool, depth: int = 5) -> None:
    """Show a ref's summary and the tree of what it came from, `depth` levels of it."""
    if put(found, as_json):
        return
    from rich.tree import Tree

    said = tuple(found.summary())
    width = max((len(name) for name, _ in said), default=0)
    for name, text in said:
        console.print(f"[dim]{name:{width}}[/] {plain(text)}", soft_wrap=True)
    tree = Tree(f"[bold]{plain(found.ref)}[/]", guide_style="dim")
    _grow(tree, found, found.ref, {found.ref}, depth)
    console.print(tree)


def _grow(tree: Tree, found: Lineage, ref: str, seen: set[str], depth: int) -> None:
    """Add what `ref` came from; a ref is drawn once, the first six of many."""
    parents = [parent for parent in found.parents(ref) if parent not in seen]
    seen.update(parents)
    for parent in parents[:_SIDE]:
        branch = tree.add(plain(parent))
        if depth > 1:
            _grow(branch, found, parent, seen, depth - 1)
    if len(parents) > _SIDE:
        tree.add(f"[dim]and {len(parents) - _SIDE} more; --json lists them[/]")


_SIDE = 6


def _when(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}"


def plain(text: str) -> str:
    """Return text that a user or an error wrote, with nothing in it read as markup."""
    from rich.markup import escape

    return escape(text)
