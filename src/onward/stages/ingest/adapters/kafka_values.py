"""What a message's bytes say: rows from JSON objects and Avro records."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from onward.core.errors import DataError, DeclarationError
from onward.stages.ingest.streams import Kafka

Row = Mapping[str, Any]
Decode = Callable[[bytes], Row]

_MAGIC: Final = b"\0"  # Confluent's wire format: a zero, the schema's id in four bytes, the record
_ID: Final = slice(1, 5)
_HEADER: Final = 5
_LOGICAL: Final = {
    "decimal": "DOUBLE",
    "uuid": "VARCHAR",
    "date": "DATE",
    "time-millis": "TIME",
    "time-micros": "TIME",
    **dict.fromkeys(
        [f"{local}timestamp-{unit}" for local in ("", "local-") for unit in ("millis", "micros")],
        "TIMESTAMP WITH TIME ZONE",
    ),
}
_PRIMITIVE: Final = {
    "boolean": "BOOLEAN",
    "int": "BIGINT",
    "long": "BIGINT",
    "float": "DOUBLE",
    "double": "DOUBLE",
    "string": "VARCHAR",
    "enum": "VARCHAR",
}


class UndecodableError(ValueError):
    """A message whose bytes are no row; the text says why."""


def decoder(origin: Kafka, folder: Path, fill: Callable[[str], str]) -> Decode:
    """Return what makes a row of a message's bytes, or raises `UndecodableError`.

    Raises
    ------
    DeclarationError
        The schema is no Avro schema of a record.
    DataError
        While it decodes: the registry does not answer.
    """
    if origin.value == "json":
        return _json()
    own = read_schema(origin, folder)
    if origin.registry is None:
        return lambda raw: _record(raw, own, None)
    registry = _Registry(fill(origin.registry))

    def decode(raw: bytes) -> Row:
        if len(raw) < _HEADER or raw[:1] != _MAGIC:
            raise UndecodableError("it is not in the registry's wire format")
        return _record(raw[_HEADER:], registry.schema(int.from_bytes(raw[_ID], "big")), own)

    return decode


def read_schema(origin: Kafka, folder: Path) -> Any | None:
    """Return the declared Avro schema, parsed; None without one.

    Raises
    ------
    DeclarationError
        There is no such file, or it holds no Avro schema of a record.
    """
    import json

    from fastavro.schema import SchemaParseException, UnknownType, parse_schema

    if origin.schema is None:
        return None
    try:
        text = origin.schema
        if not text.lstrip().startswith("{"):
            text = (folder / text).read_text()
        parsed = parse_schema(json.loads(text))
    except (OSError, ValueError, KeyError, SchemaParseException, UnknownType) as error:
        raise DeclarationError(
            f"the schema of topic {origin.topic!r} cannot be read: {error}",
            expected="an Avro schema in JSON: a mapping, or a file relative to the project",
        ) from None
    if not isinstance(parsed, dict) or parsed.get("type") != "record":
        raise DeclarationError(
            f"the schema of topic {origin.topic!r} describes no record",
            expected='an Avro schema whose type is "record": its fields become the columns',
        )
    return parsed


def column_types(schema: Any | None) -> dict[str, str]:
    """Return the DuckDB type of each field of an Avro record whose values are plain.

    Others (records, arrays, maps, unions of several types, bytes) are kept as JSON text.
    """
    found = {}
    for field in (schema or {}).get("fields", ()):
        kinds = field["type"] if isinstance(field["type"], list) else [field["type"]]
        [kind, *others] = [k for k in kinds if k != "null"] or ["null"]
        name = kind["type"] if isinstance(kind, dict) else kind
        logical = kind.get("logicalType", "") if isinstance(kind, dict) else ""
        known = _LOGICAL.get(logical) or _PRIMITIVE.get(name)
        found[field["name"]] = "VARCHAR" if others or known is None else known
    return found


def _json() -> Decode:
    import msgspec

    objects = msgspec.json.Decoder(dict[str, Any])

    def decode(raw: bytes) -> Row:
        try:
            return objects.decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise UndecodableError(str(error)) from None

    return decode


def _record(raw: bytes, writer: Any, reader: Any | None) -> Row:
    from fastavro import schemaless_reader

    body = io.BytesIO(raw)
    try:
        row = schemaless_reader(body, writer, reader)
    except Exception as error:
        raise UndecodableError(f"{type(error).__name__}: {error}") from None
    if body.tell() != len(raw) or not isinstance(row, dict):
        raise UndecodableError("there are bytes after the record")
    return row


class _Registry:
    """Schemas by id, each asked for once: a registry never changes one."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._known: dict[int, Any] = {}

    def schema(self, number: int) -> Any:
        """Return a parsed schema.

        Raises
        ------
        UndecodableError
            The registry knows no such schema.
        DataError
            It does not answer.
        """
        if number not in self._known:
            self._known[number] = self._ask(number)
        return self._known[number]

    def _ask(self, number: int) -> Any:
        import json

        import httpx
        from fastavro.schema import SchemaParseException, UnknownType, parse_schema

        try:
            answer = httpx.get(f"{self._url}/schemas/ids/{number}", timeout=10)
            if answer.status_code != httpx.codes.NOT_FOUND:
                answer.raise_for_status()
        except httpx.HTTPError as error:
            raise DataError(
                f"the schema registry does not answer: {error}",
                expected=f"schema {number} from /schemas/ids/{number}",
                next_step="run again when it does: nothing was taken in",
            ) from None
        try:
            return parse_schema(json.loads(answer.json()["schema"]))
        except (KeyError, ValueError, SchemaParseException, UnknownType) as error:
            raise UndecodableError(f"the registry has no Avro schema {number}: {error}") from None


def unfit(row: Row, reserved: Iterable[str]) -> str | None:
    """Return why a decoded row cannot have columns of its fields' names, or None."""
    if "" in row:
        return "it has a field without a name"
    taken = row.keys() & reserved
    if taken:
        return f"its field {min(taken)!r} has a name that Onward uses itself"
    if len({name.lower() for name in row}) < len(row):
        return "two of its fields differ only in case"
    return None
