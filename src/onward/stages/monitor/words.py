"""A report's breaches in one line, for people."""

from __future__ import annotations

from onward.core.records import MonitorReport


def in_words(report: MonitorReport) -> str:
    """Return what was breached and by how much, or that nothing was."""
    told = "; ".join(f"{r.monitor}, {r.subject}: {r.detail}" for r in report.breaches)
    window = f"{report.window_start:%Y-%m-%d %H:%M} to {report.window_end:%Y-%m-%d %H:%M} UTC"
    return f"{report.model}, {window}: {told or 'all is well'}"
