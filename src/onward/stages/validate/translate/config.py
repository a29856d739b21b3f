"""What a user declares of rules that another tool's file or schema holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from onward.core.declarations import Check, Severity
from onward.core.declared import here
from onward.core.errors import DeclarationError, Location, unknown_name


def great_expectations(suite: str | Path, *, severity: Severity | None = None) -> tuple[Check, ...]:
    """The expectations of a Great Expectations suite, a JSON file beside the pipeline file.

    An expectation on rows is a row rule; with `mostly` below 1 it is a rule on the share of rows,
    as one on the whole table is a batch rule. `severity` is that of those on rows; one whose own
    severity is a warning only warns. Great Expectations itself is not needed.

    Raises
    ------
    DeclarationError
        The file is no suite, or holds an expectation that is not translated; its line is named.
    """
    from onward.stages.validate.translate.great_expectations import checks_of

    location = here()
    folder = Path(location.file).parent if location else Path()
    return _with(checks_of(folder / suite, location), severity, location)


def pandera(schema: Any, *, severity: Severity | None = None) -> tuple[Check, ...]:
    """The rules of a Pandera schema: a ``DataFrameSchema`` or ``DataFrameModel``.

    Built-in checks, types, nullability and uniqueness are evaluated with all other rules; a check
    that is a function is asked in Python, which its name then says. `severity` is that of rules
    on rows; a check with ``raise_warning`` only warns.

    Raises
    ------
    DeclarationError
        It is no such schema, or it has an index.
    """
    from onward.stages.validate.translate.pandera import checks_of

    location = here()
    return _with(checks_of(schema, location), severity, location)


def _with(
    checks: tuple[Check, ...], severity: Severity | None, location: Location | None
) -> tuple[Check, ...]:
    known = ("quarantine", "hold", "warn")
    if severity is not None and severity not in known:
        what, expected = unknown_name("severity", severity, known)
        raise DeclarationError(what, expected=expected, location=location)
    return tuple(
        replace(c, severity=severity) if c.scope == "row" and c.severity is None else c
        for c in checks
    )
