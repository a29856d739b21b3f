"""Refs: the ids under which every asset is known in records, events and lineage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from onward.core.errors import NotFoundError, unknown_name

KINDS: Final = (
    "snapshot",  # snapshot:raw.flights@123      a table as of one Iceberg snapshot
    "batch",  # batch:raw.flights@<run>          rows as they came, before the audit
    "report",  # report:<run>.<stage>.<name>     a validation, evaluation or monitor report
    "features",  # features:carrier_delays@3     a feature view's version
    "training",  # training:<digest>             a training set
    "candidate",  # candidate:<model>@<digest>   parameters that a search chose
    "run",  # run:<id>                           one run of a pipeline
    "trained",  # trained:<digest>               a fitted model, before it is registered
    "model",  # model:flight_delay@7             a registered version
    "image",  # image:flight_delay@sha256:…
    "release",  # release:flight_delay@7.2       version 7's release, step 2
    "prediction",  # prediction:<id>
    "commit",  # commit:<sha>
)


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """``kind:name@version``; the version may be absent."""

    kind: str
    name: str
    version: str | None = None

    def __str__(self) -> str:
        tail = f"@{self.version}" if self.version is not None else ""
        return f"{self.kind}:{self.name}{tail}"


def ref(kind: str, name: str, version: object = None) -> str:
    """Return the text of a ref, the form in which records carry it."""
    return str(Ref(kind, name, None if version is None else str(version)))


def parse_ref(text: str) -> Ref:
    """Read ``kind:name@version``.

    Raises
    ------
    NotFoundError
        The kind is none of `KINDS`, or the name is missing.
    """
    kind, colon, rest = text.partition(":")
    if not colon or kind not in KINDS:
        what, expected = unknown_name("kind of ref", kind, KINDS)
        raise NotFoundError(what, expected=f"{expected}; a ref reads kind:name@version")
    name, at, version = rest.partition("@")
    if not name:
        raise NotFoundError(f"{text!r} names nothing", expected="a ref reads kind:name@version")
    return Ref(kind, name, version if at else None)
