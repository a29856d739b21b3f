"""What a user declares about derived tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, get_args

from onward.core.declarations import Check, parameters_of, require_checks, require_name
from onward.core.declared import first_paragraph, here, of_function
from onward.core.errors import DeclarationError, Location, unknown_name

Engine = Literal["duckdb", "arrow", "spark"]

ENGINES: Final[tuple[str, ...]] = get_args(Engine)


@dataclass(frozen=True, slots=True)
class ByPartition:
    """Only partitions in which input rows came, changed or went are built again and replaced.

    `column` is the result's; `of` says how an input's rows fall into its values, as an Ibis
    expression on ``_``, where the input has no column of that name.
    """

    column: str
    of: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ByDelta:
    """Only rows that `source` gained are transformed, and their result is added."""

    source: str | None


Incremental = ByPartition | ByDelta


def by_partition(column: str, /, **of: Any) -> ByPartition:
    """Rebuild only the partitions that input rows touch: ``incremental=by_partition("day")``.

    Inputs that have the column are cut into partitions by it; of those named in `of` the key is
    computed: ``by_partition("day", orders=_.ordered_at.date())``. For a partition the function
    gets those inputs' rows of it alone, and must give rows of it alone. Other inputs are read
    whole, and a change of one rebuilds everything.
    """
    return ByPartition(column, of)


def by_delta(source: str | None = None, /) -> ByDelta:
    """Transform only the rows that an input gained, and add the result.

    Meant for work row by row: filters, expressions, joins with other inputs. A query that needs
    all of the input's rows at once (an aggregate, a window, a join with itself) is refused.
    Everything is rebuilt where the input lost or changed rows, where another input changed, and
    where the code did.
    """
    return ByDelta(source)


@dataclass(frozen=True, slots=True, kw_only=True)
class DbtProject:
    """A dbt project, run as it is. `checks` adds checks to its models, by name."""

    folder: str
    vars: Mapping[str, Any]
    checks: Mapping[str, tuple[Check, ...]]
    location: Location | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        return Path(self.folder).name


@dataclass(frozen=True, slots=True, kw_only=True)
class Transform:
    """A table derived from others: a function whose parameters name what it reads, or a SQL file
    whose table names do.

    `engine` says what runs it: ``duckdb`` for Ibis and SQL, ``spark`` for Ibis on Spark, ``arrow``
    for Python on Arrow. A model of a `dbt` project has neither function nor file.
    """

    name: str
    function: Callable[..., Any] | None
    sql_file: str | None
    inputs: tuple[str, ...]
    checks: tuple[Check, ...]
    engine: Engine = "duckdb"
    incremental: Incremental | None = None
    dbt: DbtProject | None = None
    tags: tuple[str, ...] = field(default=(), compare=False)
    description: str = field(default="", compare=False)
    owner: str = field(default="", compare=False)
    location: Location | None = field(default=None, compare=False)

    @property
    def table(self) -> str:
        return f"derived.{self.name}"


def transform(
    function: Callable[..., Any] | None = None,
    /,
    *,
    checks: Sequence[Check] = (),
    engine: Engine = "duckdb",
    incremental: Incremental | None = None,
    tags: Sequence[str] = (),
    description: str | None = None,
    owner: str = "",
) -> Any:
    """Declare a derived table from a function; a decorator, bare or called.

    The function's name is the table's, its parameters name the sources and transforms it reads.

    Parameters
    ----------
    checks
        Rules that its rows must pass, as a source's do.
    engine
        ``duckdb``: the function takes Ibis tables and returns one. ``arrow``: it takes Arrow
        tables, each wholly in memory, or a ``pyarrow.RecordBatchReader`` where a parameter is
        annotated so, and returns whatever is Arrow: a table, a reader, a generator of record
        batches, or a DataFrame. ``spark``: as ``duckdb``, but Spark runs it.
    incremental
        ``by_partition("day")`` or ``by_delta()``: build only what new rows touch.
    tags
        Words to select it by: ``onward transform --select tag:daily``.
    description
        What its rows are; unless given, the first paragraph of the function's docstring.
    owner
        Who answers for it.
    """

    def declare(body: Callable[..., Any]) -> Transform:
        location = of_function(body)
        if engine not in ENGINES:
            what, expected = unknown_name("engine", engine, ENGINES)
            raise DeclarationError(what, expected=expected, location=location)
        if engine == "spark" and incremental is not None:
            raise DeclarationError(
                f"transform {body.__name__!r} is incremental, and runs on Spark",
                expected="one or the other: on Spark a table is built whole",
                location=location,
            )
        return Transform(
            name=require_name(body.__name__, "transform", location),
            function=body,
            sql_file=None,
            inputs=parameters_of(body),
            checks=require_checks(checks, location),
            engine=engine,
            incremental=_incremental(incremental, location),
            tags=_tags(tags, location),
            description=first_paragraph(body) if description is None else description,
            owner=owner,
            location=location,
        )

    return declare if function is None else declare(function)


def sql_transform(
    name: str,
    file: str,
    *,
    checks: Sequence[Check] = (),
    incremental: Incremental | None = None,
    tags: Sequence[str] = (),
    description: str | None = None,
    owner: str = "",
) -> Transform:
    """Declare a derived table from a SQL file (DuckDB's dialect), relative to the project.

    The tables that it reads are found by parsing it, written plainly or as ``{{ ref('name') }}``;
    `inputs` is filled when the file is loaded.
    """
    location = here()
    return Transform(
        name=require_name(name, "transform", location),
        function=None,
        sql_file=file,
        inputs=(),
        checks=require_checks(checks, location),
        incremental=_incremental(incremental, location),
        tags=_tags(tags, location),
        description=description or "",
        owner=owner,
        location=location,
    )


def dbt(
    folder: str,
    *,
    vars: Mapping[str, Any] | None = None,
    checks: Mapping[str, Sequence[Check]] | None = None,
) -> DbtProject:
    """Run a dbt project as it is: each model that it materializes becomes a derived table.

    Its sources are read by name: ``source('anything', 'orders')`` is the source or transform
    ``orders``. Its tests judge the tables that they are attached to: a failed one holds the table.
    dbt itself is not installed with Onward; ``[transform] dbt`` says where it is.

    Parameters
    ----------
    folder
        Where ``dbt_project.yml`` is, relative to the pipeline file.
    vars
        dbt's variables.
    checks
        Checks for its models, by the model's name.
    """
    location = here()
    return DbtProject(
        folder=folder,
        vars=dict(vars or {}),
        checks={name: require_checks(c, location) for name, c in (checks or {}).items()},
        location=location,
    )


def _incremental(given: Any, location: Location | None) -> Incremental | None:
    if given is not None and not isinstance(given, (ByPartition, ByDelta)):
        raise DeclarationError(
            f"incremental is {given!r}",
            expected="ow.by_partition('column') or ow.by_delta()",
            location=location,
        )
    return given


def _tags(tags: Sequence[str], location: Location | None) -> tuple[str, ...]:
    if isinstance(tags, str) or not all(isinstance(t, str) and t.isidentifier() for t in tags):
        raise DeclarationError(
            f"the tags are {tags!r}",
            expected="words of letters, digits and underscores, as in tags=['daily']",
            location=location,
        )
    return tuple(tags)
