"""Breaches as JSON, posted to an address."""

from __future__ import annotations

import time
from typing import Any, Final

from onward.core.records import MonitorReport
from onward.stages.monitor.words import in_words

TIMEOUT_S: Final = 5.0
PAUSES_S: Final = (0.2, 1.0)  # before the second and the third attempt


class WebhookAlert:
    """Posts a report's breaches to `url`; chat services show its ``text``.

    Errors name it by `shown` where it holds a secret.

    A receiver that cannot be reached, or answers with a status of 500 or above or 429, is tried
    again, twice. The header ``Idempotency-Key`` is the report's ref, the same each time.
    """

    def __init__(
        self,
        url: str,
        *,
        shown: str | None = None,
        timeout_s: float = TIMEOUT_S,
        pauses_s: tuple[float, ...] = PAUSES_S,
    ) -> None:
        self._url = url
        self._shown = shown or url
        self._timeout_s = timeout_s
        self._pauses_s = pauses_s

    def send(self, report: MonitorReport) -> str | None:
        """Post it; return None, or why it did not arrive."""
        failure = self._post(report)
        for pause_s in self._pauses_s:
            if failure is None or not failure.passing:
                break
            time.sleep(pause_s)
            failure = self._post(report)
        return None if failure is None else f"the alert did not reach {self._shown}: {failure.why}"

    def _post(self, report: MonitorReport) -> _Failure | None:
        import httpx

        try:
            answer = httpx.post(
                self._url,
                json=message(report),
                headers={"Idempotency-Key": report.ref},
                timeout=self._timeout_s,
            )
        except httpx.TransportError as error:
            return _Failure(str(error) or type(error).__name__, passing=True)
        except httpx.InvalidURL as error:
            return _Failure(str(error), passing=False)
        if answer.is_success:
            return None
        passing = answer.status_code >= 500 or answer.status_code == 429
        return _Failure(f"it answered {answer.status_code} {answer.reason_phrase}", passing=passing)


class _Failure:
    def __init__(self, why: str, *, passing: bool) -> None:
        self.why = why
        self.passing = passing


def message(report: MonitorReport) -> dict[str, Any]:
    """Return what is posted: the report's place in time, its breaches, and a line of text."""
    return {
        "text": in_words(report),
        "report": report.ref,
        "model": report.model,
        "at": report.at.isoformat(),
        "window": [report.window_start.isoformat(), report.window_end.isoformat()],
        "predictions": report.predictions,
        "labelled": report.labelled,
        "breaches": [
            {
                "monitor": r.monitor,
                "subject": r.subject,
                "value": r.value,
                "limit": r.limit,
                "detail": r.detail,
            }
            for r in report.breaches
        ],
    }
