"""The port of origins: a reader says whether there is anything new, and opens an intake of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from onward.stages.ingest.config import MicroBatch, Source
from onward.stages.ingest.scan import Scan

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def _as_it_is(text: str) -> str:
    return text


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What `app` gives every reader when it is made.

    Parameters
    ----------
    folder
        The project's folder, to which paths are relative.
    fill
        Puts a secret in the place of ``${secret:NAME}`` in a declared text. What it returns
        is for the vendor's library alone: never for an error, a log or the cursor.
    storage
        Options of file systems by protocol, such as ``{"s3": {"anon": True}}``, from the settings.
    """

    folder: Path
    fill: Callable[[str], str] = field(default=_as_it_is, repr=False)
    storage: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Where an intake is prepared: DuckDB in UTC, and an empty folder for what must be spooled.

    `limits` says how much is wanted at once; None for all that is there now.
    """

    connection: DuckDBPyConnection
    folder: Path
    limits: MicroBatch | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """The new rows of a source, and the cursor that covers exactly these rows.

    Parameters
    ----------
    scan
        The rows; it is run more than once and gives the same rows each time.
    summary
        What was read, for whoever asks later: it stays with the published snapshot.
    state
        The cursor's new entries for the table's state, which commit with the rows as one.
    mode, order
        How the rows join the table: added to it, in the place of rows with the source's key whose
        `order` is no greater, or in the place of all.
    overlaps
        Whether rows that were read before may be among these: a row whose key and `order` the
        table or its quarantine holds is then left out.
    confirm
        Called when the rows are staged; raises `DataError` if what was read changed meanwhile.
    names
        What the files that the scan names as a row's part are called, where that is another name.
    behind
        How many rows are known to wait at the origin behind these; None where it does not say.
    """

    scan: Scan
    summary: Mapping[str, str]
    state: Mapping[str, str]
    mode: Literal["append", "upsert", "replace"] = "append"
    order: str | None = None
    overlaps: bool = False
    confirm: Callable[[], None] = _nothing
    names: Mapping[str, str] = field(default_factory=dict)
    behind: int | None = None


class Reader(Protocol):
    """Reads one kind of origin; made from `Surroundings`, named in the group ``onward.origins``.

    It changes nothing, at the origin or here. What was read before it knows from `state` alone: the
    published table's, with the entries that its intakes gave; empty before the first batch.
    """

    def pending(self, source: Source, state: Mapping[str, str]) -> bool:
        """Tell, cheaply, whether there are rows that no published snapshot holds.

        Raises
        ------
        DataError, DeclarationError
            The origin does not answer, or is not what was declared.
        """
        ...

    def open(
        self,
        source: Source,
        state: Mapping[str, str],
        *,
        known: Sequence[str] | None,
        desk: Desk,
    ) -> Intake | None:
        """Return the rows that no published snapshot holds, or None without any.

        Memory stays bounded whatever there is to read: rows are streamed into the desk's folder,
        or scanned where they lie. With the desk's `limits` it takes no more than they say, as far
        as the origin can be cut, and may wait for rows as long as they say.

        Parameters
        ----------
        known
            The published table's columns; None before the first batch.

        Raises
        ------
        DataError
            What was read before has changed, the data are damaged, or their columns are others.
        DeclarationError
            The origin is not what was declared.
        """
        ...


Readers = Callable[[Source], Reader]
"""Returns the reader of a source's origin, or raises `DeclarationError` where there is none."""
