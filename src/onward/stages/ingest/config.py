"""What a user declares about a source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Literal, get_args

from onward.core.clock import duration
from onward.core.declarations import Check, require_checks, require_name
from onward.core.declared import here
from onward.core.errors import DeclarationError, Location, unknown_name
from onward.core.records import Mask
from onward.stages.ingest.masks import read_as, require_masks
from onward.stages.ingest.origins import Origin

COLUMN_TYPES: Final = (
    "int64", "double", "bool", "string", "timestamp", "date", "time", "binary",
)  # fmt: skip
"""The types that a source's column can have; a timestamp is in UTC, with microseconds."""


OnSchemaChange = Literal["refuse", "evolve"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MicroBatch:
    """How much is taken in at once while a source is followed; made by `micro_batch`."""

    rows: int
    bytes: int
    wait: timedelta

    def full(self, rows: int, bytes: int) -> bool:
        """Tell whether so many rows, or bytes, are enough."""
        return rows >= self.rows or bytes >= self.bytes


_MICRO_BATCH: Final = MicroBatch(rows=50_000, bytes=64_000_000, wait=timedelta(seconds=2))


def micro_batch(
    *, rows: int = 50_000, bytes: int = 64_000_000, wait: str | timedelta = "2s"
) -> MicroBatch:
    """Say how much `onward ingest --follow` takes in at once: whichever is reached first.

    Parameters
    ----------
    rows
        At most so many rows; a file is taken whole, and a pass over a REST or dlt source too.
    bytes
        About so many bytes of messages, or of files.
    wait
        At most so long after the batch was begun; rows that come more slowly are published then.
    """
    location = here()
    if rows < 1 or bytes < 1:
        raise DeclarationError(
            f"a micro-batch of {rows} rows and {bytes} bytes holds nothing",
            expected="at least 1 of each",
            location=location,
        )
    return MicroBatch(rows=rows, bytes=bytes, wait=duration(wait, location))


@dataclass(frozen=True, slots=True, init=False)
class Source:
    """Where rows come from, what identifies them, when they happened and were known.

    Parameters
    ----------
    name
        The source's name; its table is ``raw.<name>``.
    origin
        `files(...)`, `sql(...)`, `kafka(...)`, `http(...)`, `dlt(...)`, or what another package
        declares (`Origin`).
    key
        Columns that identify a row.
    event_time
        The column that says when the row's fact happened.
    available_at
        The column that says when it could be known; the event time unless given.
    checks
        Row and batch rules, from `onward.check` and `onward.batch_check`.
    types
        The types of columns that the first rows do not show, by name: a column of doubles that
        begins with whole numbers, say. One of `COLUMN_TYPES` each.
    masked
        How columns are masked before anything of them is written, by name. Checks, transforms and
        features see the masked values.
    subject
        The columns that say whom a row is about: `onward erase` finds them by these.
    on_schema_change
        What happens to rows whose columns are not those of the first rows. With ``"refuse"``
        nothing is taken in, and the error says what differs. With ``"evolve"`` columns may come
        (NULL in earlier rows), go (NULL from then on) and widen: whole numbers to doubles, dates
        to timestamps, anything to text. The key, the times and what is declared never go.
    renamed
        New names of columns, as ``{"new": "old"}``: their values stay.
    micro_batch
        How much is taken in at once while the source is followed.
    description, owner, tags
        What the rows are, who answers for them, and words by which they are found.
    """

    name: str
    origin: Origin
    key: tuple[str, ...]
    event_time: str
    available_at: str
    checks: tuple[Check, ...]
    types: Mapping[str, str] = field(hash=False)
    masked: Mapping[str, Mask] = field(hash=False)
    subject: tuple[str, ...]
    on_schema_change: OnSchemaChange
    renamed: Mapping[str, str] = field(hash=False)
    micro_batch: MicroBatch = field(compare=False)
    description: str = field(compare=False)
    owner: str = field(compare=False)
    tags: tuple[str, ...] = field(compare=False)
    location: Location | None = field(compare=False)

    def __init__(
        self,
        name: str,
        origin: Origin,
        *,
        key: Sequence[str],
        event_time: str,
        available_at: str | None = None,
        checks: Sequence[Check] = (),
        types: Mapping[str, str] | None = None,
        masked: Mapping[str, Mask] | None = None,
        subject: str | Sequence[str] = (),
        on_schema_change: OnSchemaChange = "refuse",
        renamed: Mapping[str, str] | None = None,
        micro_batch: MicroBatch | None = None,
        description: str = "",
        owner: str = "",
        tags: str | Sequence[str] = (),
    ) -> None:
        location = here()
        if not isinstance(origin, Origin):
            raise DeclarationError(
                f"source {name!r} reads from {origin!r}",
                expected="ow.files('data/*.csv'), or ow.sql, ow.kafka, ow.http or ow.dlt",
                location=location,
            )
        keys = (key,) if isinstance(key, str) else tuple(key)
        if not keys:
            raise DeclarationError(
                f"source {name!r} has no key",
                expected="key=[...]: the columns that identify a row",
                location=location,
            )
        for kind in (types or {}).values():
            if kind not in COLUMN_TYPES:
                what, expected = unknown_name("column type", kind, COLUMN_TYPES)
                raise DeclarationError(what, expected=expected, location=location)
        if on_schema_change not in get_args(OnSchemaChange):
            what, expected = unknown_name(
                "on_schema_change", on_schema_change, get_args(OnSchemaChange)
            )
            raise DeclarationError(what, expected=expected, location=location)
        subjects = (subject,) if isinstance(subject, str) else tuple(subject)
        masks = require_masks(
            name,
            masked or {},
            key=keys,
            times=(event_time, available_at or event_time),
            subject=subjects,
            cursor=getattr(origin, "cursor", None),
            location=location,
        )
        set_ = object.__setattr__
        set_(self, "name", require_name(name, "source", location))
        set_(self, "origin", origin)
        set_(self, "key", keys)
        set_(self, "event_time", event_time)
        set_(self, "available_at", available_at or event_time)
        set_(self, "checks", require_checks(checks, location))
        set_(self, "types", _types(name, types or {}, masks, location))
        set_(self, "masked", masks)
        set_(self, "subject", subjects)
        set_(self, "on_schema_change", on_schema_change)
        set_(self, "renamed", _renamed(name, renamed or {}, location))
        set_(self, "micro_batch", micro_batch or _MICRO_BATCH)
        set_(self, "description", description)
        set_(self, "owner", owner)
        set_(self, "tags", (tags,) if isinstance(tags, str) else tuple(tags))
        set_(self, "location", location)

    @property
    def table(self) -> str:
        return f"raw.{self.name}"


def _renamed(source: str, renamed: Mapping[str, str], location: Location | None) -> dict[str, str]:
    twice = len(set(renamed.values())) < len(renamed)
    if twice or any(old in renamed for old in renamed.values()):
        raise DeclarationError(
            f"source {source!r} renames columns to one another: {dict(renamed)}",
            expected="renamed={'new': 'old'}: each old name once, and no new name among the old",
            location=location,
        )
    return dict(renamed)


def _types(
    source: str, given: Mapping[str, str], masked: Mapping[str, Mask], location: Location | None
) -> dict[str, str]:
    """Return the declared types and those as which masked columns are read."""
    decided = read_as(masked)
    for name, kind in decided.items():
        if given.get(name, kind) != kind:
            raise DeclarationError(
                f"column {name!r} of source {source!r} is declared as {given[name]}, and is read "
                f"as {kind} to be masked by {masked[name]}",
                expected="no type for the column",
                location=location,
            )
    return {**given, **decided}
