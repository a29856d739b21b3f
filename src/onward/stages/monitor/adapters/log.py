"""Breaches as warnings in the process's log."""

from __future__ import annotations

import logging

from onward.core.records import MonitorReport
from onward.stages.monitor.words import in_words


class LogAlert:
    """Writes one line a report to the logger ``onward.monitor``."""

    def send(self, report: MonitorReport) -> str | None:
        """Write the line; a log always takes it."""
        logging.getLogger("onward.monitor").warning("%s", in_words(report))
        return None
