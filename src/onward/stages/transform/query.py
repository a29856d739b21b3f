"""SQL files: one query in DuckDB's dialect, and the tables that it reads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from onward.core import fingerprint
from onward.core.errors import DeclarationError, Location
from onward.stages.transform.config import Transform

if TYPE_CHECKING:
    from sqlglot import exp


_REF: Final = re.compile(
    r"""\{\{ \s* (?: ref \( | source \( \s* (?:'[^']*'|"[^"]*") \s* , ) \s*
        (?: '(?P<single>[^']+)' | "(?P<double>[^"]+)" ) \s* \) \s* \}\}""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A SQL file's query, references replaced by the names they stand for.

    `tables` gives the line, from 1, on which each table is first read; `code` is a digest of the
    query that comments and white space do not change.
    """

    text: str
    file: str
    tables: Mapping[str, int]
    code: str


def read_query(transform: Transform, folder: Path) -> Query:
    """Read and parse a transform's SQL file.

    Raises
    ------
    DeclarationError
        The file is not there, is no SQL, holds not exactly one query, reads files by itself, or
        holds a template other than ``{{ ref('name') }}`` and ``{{ source('any', 'name') }}``.
    """
    import sqlglot
    from sqlglot import TokenType, exp

    path = folder / str(transform.sql_file)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DeclarationError(
            f"the SQL of transform {transform.name!r} cannot be read: {path}",
            expected=f"a file in the project's folder ({error})",
            location=transform.location,
        ) from None
    text = _resolved(text, str(path))
    try:
        tokens = sqlglot.tokenize(text, read="duckdb")
        parsed = sqlglot.parse(text, read="duckdb")
        # A comment after the last semicolon is an empty statement of its own.
        statements = [s for s in parsed if s is not None and not isinstance(s, exp.Semicolon)]
    except sqlglot.errors.SqlglotError as error:
        detail = (getattr(error, "errors", None) or [{}])[0]
        raise DeclarationError(
            f"this is no SQL: {detail.get('description') or error}",
            expected="one query in DuckDB's dialect",
            location=Location(str(path), detail.get("line") or 1),
        ) from None
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        kinds = ", ".join(s.key.upper() for s in statements) or "nothing"
        raise DeclarationError(
            f"the file holds {kinds}",
            expected="one query: SELECT …, or WITH … SELECT …",
            location=Location(str(path), 1),
        )
    while tokens[-1].token_type == TokenType.SEMICOLON:
        text = text[: tokens.pop().start]
    return Query(
        text=text,
        file=str(path),
        tables=_tables(statements[0], str(path)),
        code=fingerprint.of_text(*((t.token_type, t.text) for t in tokens)),
    )


def _resolved(text: str, file: str) -> str:
    """Return the text with references as plain names; lines stay where they are."""

    def name(found: re.Match[str]) -> str:
        lines = found[0].count("\n")
        return '"' + (found["single"] or found["double"]) + '"' + "\n" * lines

    text = _REF.sub(name, text)
    template = re.search(r"\{\{|\{%", text)
    if template is None:
        return text
    line = text.count("\n", 0, template.start()) + 1
    raise DeclarationError(
        f"line {line} holds a template: {text[template.start() :].splitlines()[0][:60]}",
        expected="plain SQL, in which {{ ref('name') }} may stand for a table",
        next_step="a project with templates of its own runs whole with ow.dbt('folder')",
        location=Location(file, line),
    )


def _tables(query: exp.Expression, file: str) -> dict[str, int]:
    """Return the tables that a query reads; names that it defines itself are not among them."""
    from sqlglot import exp
    from sqlglot.optimizer.scope import traverse_scope

    found: dict[str, int] = {}
    for scope in traverse_scope(query):
        for table in scope.sources.values():
            if not isinstance(table, exp.Table):
                continue
            line = int(table.this.meta.get("line") or table.meta.get("line") or 1)
            if isinstance(table.this, exp.Identifier):
                found.setdefault(".".join(part.name for part in table.parts), line)
            elif _reads_files(table.this):
                raise DeclarationError(
                    f"the query reads {table.this.sql('duckdb')}, which no source declares",
                    expected="sources and transforms by name, so that lineage is whole",
                    location=Location(file, line),
                )
    return found


def _reads_files(function: exp.Expression) -> bool:
    name = str(function.sql("duckdb")).partition("(")[0].lower()
    return name.startswith("read_") or name.endswith("_scan") or name == "glob"
