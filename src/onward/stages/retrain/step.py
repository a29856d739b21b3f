"""The retrain stage: reports in, a request for a run out, or a reason."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from onward.core.records import MonitorReport, MonitorResult, RunRequest, Suppressed
from onward.stages.retrain.config import Retrain

Finding = tuple[str, str]

_CURABLE: Final = ("performance", "drift")


def consider(
    report: MonitorReport,
    earlier: Sequence[MonitorReport],
    *,
    policy: Retrain,
    last_request: datetime | None,
    busy: str | None,
    now: datetime,
) -> RunRequest | Suppressed | None:
    """Turn a report into a request for a run, or say why not; None if nothing was breached.

    `earlier` holds reports in any order; those of other models, or later than this one, do not
    count. `busy` says what is under way, in words. The request's id follows from the report's,
    so considering a report twice asks for one run.
    """
    if not report.breaches:
        return None
    curable = [result for result in report.breaches if result.monitor in _CURABLE]
    if not curable:
        return Suppressed(reason=_incurable(report.breaches), cause=report.ref)
    row = _in_a_row(report, earlier)
    evidence = _evidence(curable, row, policy.persist)
    reason = (
        _weak(curable, row, policy.persist)
        if not evidence
        else busy or _cooling(last_request, policy.cooldown, now)
    )
    if reason is not None:
        return Suppressed(reason=reason, cause=report.ref)
    return RunRequest(
        id=f"breach-{report.id}",
        reason="; ".join(f"{r.monitor}, {r.subject}: {r.detail}" for r in evidence),
        trigger="breach",
        requested_at=now,
        cause=report.ref,
    )


def _in_a_row(report: MonitorReport, earlier: Sequence[MonitorReport]) -> list[set[Finding]]:
    """Return what each report of this model breached, this one first, then back in time."""
    before = [r for r in earlier if r.model == report.model and r.at < report.at]
    newest_first = sorted(before, key=lambda r: r.at, reverse=True)
    return [set(map(_finding, r.breaches)) for r in (report, *newest_first)]


def _finding(result: MonitorResult) -> Finding:
    return result.monitor, result.subject


def _held_for(finding: Finding, row: list[set[Finding]]) -> int:
    """Return in how many reports in a row, up to this one, the finding was breached."""
    return next((n for n, found in enumerate(row) if finding not in found), len(row))


def _evidence(
    curable: list[MonitorResult], row: list[set[Finding]], persist: int
) -> list[MonitorResult]:
    """Return the persistent breaches that suffice, with what corroborates them."""
    lasting = [r for r in curable if _held_for(_finding(r), row) >= persist]
    loss = [r for r in lasting if r.monitor == "performance"]
    corroborated = len(set(map(_finding, curable))) > 1
    return curable if corroborated and len(lasting) > len(loss) else loss


def _incurable(breaches: Sequence[MonitorResult]) -> str:
    found = ", ".join(dict.fromkeys(f"{r.monitor} ({r.subject})" for r in breaches))
    return f"{found}: a new model would not cure it"


def _weak(curable: list[MonitorResult], row: list[set[Finding]], persist: int) -> str:
    longest = max(_held_for(_finding(r), row) for r in curable)
    names = ", ".join(f"{r.monitor} ({r.subject})" for r in curable)
    if longest < persist:
        return f"{names}: {longest} of {persist} reports in a row"
    return f"{names} alone: neither answers nor outcomes have moved with it"


def _cooling(last_request: datetime | None, cooldown: timedelta, now: datetime) -> str | None:
    if last_request is None or now - last_request >= cooldown:
        return None
    until = last_request + cooldown
    return f"not before {until:%Y-%m-%d %H:%M} UTC: the last request was {_ago(now - last_request)}"


def _ago(passed: timedelta) -> str:
    hours = passed / timedelta(hours=1)
    return f"{hours:.0f} hours ago" if hours < 48 else f"{hours / 24:.0f} days ago"
