"""Rows that come one by one, written to a file of JSON lines that DuckDB can scan."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class Spool:
    """A file that rows are written to; what has been written is counted, not kept in memory.

    Times become ISO 8601, decimals numbers, bytes base64, NaN null, and what JSON does not know
    its text. `rows` counts rows, `bytes` the file's size, and `digest` is over all of it.
    """

    def __init__(self, path: Path) -> None:
        import msgspec

        self.path = path
        self.rows = 0
        self.bytes = 0
        self._hash = hashlib.sha256()
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
        self.count(1, [line])

    def count(self, rows: int, written: Iterable[bytes | memoryview]) -> None:
        """Count rows that were written elsewhere, and what of them."""
        self.rows += rows
        for part in written:
            self.bytes += len(part)
            self._hash.update(part)

    @property
    def digest(self) -> str:
        """Sixteen hex digits over all that was written so far."""
        return self._hash.hexdigest()[:16]

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
