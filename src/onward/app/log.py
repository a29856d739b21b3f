"""Where Onward's own log goes: one file in the project's state, while something runs for long."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def logging_to(file: Path) -> Iterator[None]:
    """Write what the loggers under ``onward`` say to `file`, and nowhere else."""
    file.parent.mkdir(parents=True, exist_ok=True)
    logger = logging.getLogger("onward")
    handler = _Handler(file)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    before = logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.propagate = before
        logger.removeHandler(handler)
        handler.close()


class _Handler(logging.FileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        """Say nothing: a log that cannot be written does not disturb what it is about."""
