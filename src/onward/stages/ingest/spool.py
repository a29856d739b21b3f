"""Rows that come one by one, written to a file of JSON lines that DuckDB can scan."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class Spool:
    """A file that rows are written to; what has been written is counted, not kept in memory.

    Times become ISO 8601, decimals numbers, bytes base64, NaN null, and what JSON does not know
    its text. `rows` counts rows, `bytes` the file's size.
    """

    def __init__(self, path: Path) -> None:
        import msgspec

        self.path = path
        self.rows = 0
        self.bytes = 0
        self._encode = msgspec.json.Encoder(decimal_format="number", enc_hook=_plain).encode

    def write(self, row: Mapping[str, Any]) -> None:
        """Append a row.

        Raises
        ------
        TypeError, ValueError, RecursionError
            A value cannot be written down; nothing was appended.
        """
        line = self._encode(row) + b"\n"
        self._file.write(line)
        self.rows += 1
        self.bytes += len(line)

    def __enter__(self) -> Self:
        self._file = self.path.open("wb", buffering=1 << 20)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()


def _plain(value: Any) -> Any:
    """Return what JSON knows for a value that it does not."""
    if isinstance(value, (datetime, date, time)):  # subclasses, such as pendulum's
        return value.isoformat()
    return str(value)
