"""What a user declares about derived tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from onward.core.declarations import Check, parameters_of, require_checks, require_name
from onward.core.declared import here, of_function
from onward.core.errors import Location


@dataclass(frozen=True, slots=True, kw_only=True)
class Transform:
    """A table derived from others: an Ibis function whose parameters name what it reads,
    or a SQL file whose table names do.
    """

    name: str
    function: Callable[..., Any] | None
    sql_file: str | None
    inputs: tuple[str, ...]
    checks: tuple[Check, ...]
    location: Location | None = field(default=None, compare=False)

    @property
    def table(self) -> str:
        return f"derived.{self.name}"


def transform(
    function: Callable[..., Any] | None = None, /, *, checks: Sequence[Check] = ()
) -> Any:
    """Declare a derived table from a function of Ibis tables; a decorator, bare or called.

    The function's name is the table's, its parameters name the sources and transforms it reads.
    """

    def declare(body: Callable[..., Any]) -> Transform:
        location = of_function(body)
        return Transform(
            name=require_name(body.__name__, "transform", location),
            function=body,
            sql_file=None,
            inputs=parameters_of(body),
            checks=require_checks(checks, location),
            location=location,
        )

    return declare if function is None else declare(function)


def sql_transform(name: str, file: str, *, checks: Sequence[Check] = ()) -> Transform:
    """Declare a derived table from a SQL file (DuckDB's dialect), relative to the project.

    The tables that it reads are found by parsing it; `inputs` is filled when the file is loaded.
    """
    location = here()
    return Transform(
        name=require_name(name, "transform", location),
        function=None,
        sql_file=file,
        inputs=(),
        checks=require_checks(checks, location),
        location=location,
    )
