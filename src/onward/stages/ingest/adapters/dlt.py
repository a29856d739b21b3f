"""Sources and resources of dlt, and REST endpoints through it: what they remember is the cursor."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from onward.core.errors import DataError, DeclarationError, OnwardError, unknown_name
from onward.stages.ingest.adapters import http
from onward.stages.ingest.apis import Dlt, Http
from onward.stages.ingest.config import Source
from onward.stages.ingest.port import Desk, Intake, Surroundings
from onward.stages.ingest.scan import Scan, scan_rows, scan_spool
from onward.stages.ingest.spool import Spool

if TYPE_CHECKING:
    import pyarrow as pa

_REMEMBERED: Final = "dlt.state"  # entries of the table's state
_CONTENT: Final = "dlt.content"
_MODES: Final[Mapping[str, Literal["append", "upsert", "replace"]]] = {
    "append": "append",
    "skip": "append",
    "merge": "upsert",
    "replace": "replace",
}


@dataclass(frozen=True, slots=True)
class _Pass:
    """What a pass over a resource gave: how many rows, and what is remembered after them."""

    rows: int
    columns: Sequence[str] | None  # of Arrow data; None for rows that came one by one
    state: Mapping[str, str]


class DltReader:
    """Reads `Dlt` and `Http`: a whole pass at a time, spooled, with the state that dlt keeps.

    No destination of dlt is involved: its extraction runs with the state that the table's last
    snapshot holds, the rows go through the audit, and the state after them commits with them.
    """

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._looked: dict[str, float] = {}  # when there was nothing new, by source

    def pending(self, source: Source, state: Mapping[str, str]) -> bool:
        """Tell whether a pass would give anything new; no more often than the origin says.

        A resource that remembers is asked for its first row, another for all of them.
        """
        if not self._due(source):
            return False
        with Spool(Path(os.devnull)) as spool:
            found = self._pass(source, state, spool, first=True)
        return self._noted(source, found is not None)

    def open(
        self,
        source: Source,
        state: Mapping[str, str],
        *,
        known: Sequence[str] | None,
        desk: Desk,
    ) -> Intake | None:
        """Return a pass's rows, or None; with limits it looks no more often than it should."""
        if desk.limits is not None and not self._due(source):
            return None
        with Spool(desk.folder / "rows.jsonl") as spool:
            found = self._pass(source, state, spool)
        if not self._noted(source, found is not None) or found is None:
            return None
        if found.columns is None:
            scan: Scan = scan_rows(desk.connection, [spool.path], known, types={})
        else:
            scan = scan_spool(desk.connection, desk.folder, found.columns, known, typed=True)
        resource = self._resource(source)
        mode = _MODES[str(resource.write_disposition)]
        return Intake(
            scan=scan,
            summary={},
            state=found.state,
            mode=mode,
            order=_order(resource, scan) if mode == "upsert" else None,
        )

    def _due(self, source: Source) -> bool:
        assert isinstance(source.origin, (Dlt, Http))
        last = self._looked.get(source.name)
        return last is None or time.monotonic() - last >= source.origin.every.total_seconds()

    def _noted(self, source: Source, found: bool) -> bool:
        if found:
            self._looked.pop(source.name, None)
        else:
            self._looked[source.name] = time.monotonic()
        return found

    # ------------------------------------------------------------ a pass

    def _pass(
        self, source: Source, before: Mapping[str, str], spool: Spool, *, first: bool = False
    ) -> _Pass | None:
        """Write what a pass gives; None if that is nothing, or what the last one gave.

        With `first` it ends at the first row of a resource that remembers something.
        """
        from dlt.common.json import json

        resource = self._resource(source)
        remembered = json.typed_loads(before[_REMEMBERED]) if _REMEMBERED in before else {}
        columns: dict[str, None] = {}
        with _state(remembered), _blamed(source):
            for number, item in enumerate(resource):
                table = _arrow(item)
                if table is None:
                    spool.write(item)
                else:
                    columns |= dict.fromkeys(table.column_names)
                    _put(spool, table, number)
                if first and remembered:
                    break
        if not spool.rows:
            return None
        if remembered:
            return _Pass(
                spool.rows, list(columns) or None, {_REMEMBERED: json.typed_dumps(remembered)}
            )
        if before.get(_CONTENT) == spool.digest:
            return None
        return _Pass(spool.rows, list(columns) or None, {_CONTENT: spool.digest})

    def _resource(self, source: Source) -> Any:
        origin = source.origin
        try:
            if isinstance(origin, Http):
                return http.resource(source, origin, self._surroundings)
            assert isinstance(origin, Dlt)
            return _of_dlt(source, origin)
        except ModuleNotFoundError as error:
            if error.name != "dlt":
                raise
            raise DeclarationError(
                f"source {source.name!r} is read through dlt, which is not installed",
                next_step="pip install 'onward[dlt]'",
                location=source.location,
            ) from None


def _of_dlt(source: Source, origin: Dlt) -> Any:
    from dlt.extract import DltResource, DltSource

    found = origin.of
    if callable(found) and not isinstance(found, (DltResource, DltSource)):
        found = found()
    if isinstance(found, DltSource):
        names = list(found.selected_resources)
        name = origin.resource or (names[0] if len(names) == 1 else "")
        if name not in names:
            what, expected = unknown_name(f"resource of {origin.name}", name, names)
            raise DeclarationError(
                what if name else f"dlt's source {origin.name!r} has several resources",
                expected=expected,
                next_step="say which: ow.dlt(..., resource=...)",
                location=source.location,
            )
        # The source is read, not the resource: what they remember is kept under the source's name.
        return _Selected(found.clone().with_resources(name), name)
    if isinstance(found, DltResource):
        return found.with_name(found.name)
    raise DeclarationError(
        f"source {source.name!r} reads {found!r}",
        expected="a source or a resource of dlt, or a function that returns one",
        location=source.location,
    )


class _Selected:
    """One resource, read through the source that it belongs to."""

    def __init__(self, source: Any, name: str) -> None:
        self._source = source
        self._resource = source.resources[name]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._source)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._resource, name)


@contextmanager
def _state(remembered: dict[str, Any]) -> Iterator[None]:
    """Let resources read and write `remembered` as the state of their pipeline."""
    from dlt.common.configuration.container import Container
    from dlt.common.pipeline import StateInjectableContext

    context: Any = StateInjectableContext(state=remembered)
    with Container().injectable_context(context):
        yield


@contextmanager
def _blamed(source: Source) -> Iterator[None]:
    from dlt.common.exceptions import DltException
    from requests import RequestException

    try:
        yield
    except OnwardError:
        raise
    except (DltException, RequestException) as error:
        cause = error.__cause__ if isinstance(error.__cause__, RequestException) else error
        raise DataError(
            f"source {source.name!r} cannot be read: {' '.join(str(cause).split())[:500]}",
            expected="an API that answers, with rows as they were declared",
            next_step="run again when it does: nothing was taken in",
            location=source.location,
        ) from None


def _arrow(item: Any) -> pa.Table | None:
    """Return columnar data as Arrow, None for a row."""
    import pyarrow as pa

    if isinstance(item, pa.RecordBatch):
        return pa.Table.from_batches([item])
    if isinstance(item, pa.Table):
        return item
    return pa.table(item) if hasattr(item, "__arrow_c_stream__") else None


def _put(spool: Spool, table: pa.Table, number: int) -> None:
    from pyarrow import parquet

    if spool.path != Path(os.devnull):
        parquet.write_table(table, spool.path.with_name(f"{number:06}.parquet"), compression="lz4")
    spool.count(table.num_rows, (batch.serialize() for batch in table.to_batches()))


def _order(resource: Any, scan: Scan) -> str | None:
    """Return the column by which the newest of several rows with one key is known."""
    path = getattr(resource.incremental, "cursor_path", None)
    return path if path in scan.columns else None
